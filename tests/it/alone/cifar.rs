//! The real CIFAR-10 files, where `KELVIN_DATA` names a folder that holds `cifar10/`.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

fn cifar10() -> Option<PathBuf> {
    let folder = std::env::var_os("KELVIN_DATA").map(|data| PathBuf::from(data).join("cifar10"));
    let found = folder.filter(|folder| folder.is_dir());
    if found.is_none() {
        eprintln!("skipped: KELVIN_DATA names no folder that holds cifar10/");
    }
    found
}

/// All 60,000 images load in under 30 s and 1 GB, and two epochs of width 32 on 1,024 of them run.
#[test]
fn cifar10_loads_and_trains() {
    let Some(folder) = cifar10() else { return };
    let script = format!(
        "let data = cifar10(\"{}\");\n\
         print(data);\n\
         if data.len != 60000 {{ throw \"images\" }}\n",
        folder.display()
    );
    let (stdout, seconds, megabytes) = run(&script);
    println!("loading: {seconds:.1} s, {megabytes} MB: {stdout}");
    assert!(stdout.contains("cifar10: 60000 images 3x32x32, 10 classes"), "{stdout}");
    crate::support::assert_soon("loading", Duration::from_secs_f64(seconds), Duration::from_secs(30));
    assert!(megabytes < 1000, "{megabytes} MB");

    let script = format!(
        "let data = cifar10(\"{}\").subset(#{{ n: 1024, seed: 1 }});\n\
         let run = train(#{{ data: data, model: resnet(#{{ width: 32 }}), augment: true, lr: 0.05, batch: 64, epochs: 2 }});\n\
         let rows = run.epochs.rows();\n\
         print(rows.len() + \" \" + rows[0].train_size + \" \" + rows[0].parameters + \" \" + (rows[1].train_loss < 2.3));",
        folder.display()
    );
    let (stdout, seconds, _) = run(&script);
    println!("two epochs of width 32: {seconds:.1} s");
    assert_eq!(stdout.trim(), "2 853 2796202 true");
}

/// Runs a script; what it printed, its wall time, and its peak memory in MB.
fn run(script: &str) -> (String, f64, u64) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.rhai");
    std::fs::write(&file, script).unwrap();
    let start = std::time::Instant::now();
    let child = Command::new(crate::support::program())
        .arg("-q")
        .arg(&file)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let process = child.id();
    // The kernel's own high-water mark, read until the process is gone.
    let watch = std::thread::spawn(move || {
        let mut peak = 0;
        while let Ok(status) = std::fs::read_to_string(format!("/proc/{process}/status")) {
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let Some(kilobytes) =
                line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok())
            else {
                break;
            };
            peak = peak.max(kilobytes / 1000);
            std::thread::sleep(Duration::from_millis(20));
        }
        peak
    });
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        start.elapsed().as_secs_f64(),
        watch.join().unwrap(),
    )
}

/// The official binary files: six of 10,000 records, the training files in order, then the test
/// file.
#[test]
fn official_binary_files_load_in_order() {
    use kelvin::data::{Dataset, Source};
    use std::io::{Seek, SeekFrom, Write};
    let folder = tempfile::tempdir().unwrap();
    let names =
        ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"];
    for (number, name) in names.iter().enumerate() {
        let mut file = std::fs::File::create(folder.path().join(format!("{name}.bin"))).unwrap();
        // The second record: its label, the first pixel of red and the last of blue.
        file.seek(SeekFrom::Start(3073)).unwrap();
        file.write_all(&[number as u8, 10 + number as u8]).unwrap();
        file.seek(SeekFrom::Start(2 * 3073 - 1)).unwrap();
        file.write_all(&[100 + number as u8]).unwrap();
        file.set_len(30_730_000).unwrap();
    }
    let path = folder.path().to_str().unwrap().to_owned();
    let data = Dataset::load(Source::named("cifar10", Some(&path)).unwrap()).unwrap();
    assert_eq!((data.len(), data.shape(), data.classes()), (60_000, [3, 32, 32], 10));
    assert_eq!(data.default_sizes(), (50_000, 10_000));
    for number in 0..6 {
        let row = number * 10_000 + 1;
        assert_eq!(data.labels()[row], number as u16);
        let image = &data.images().bytes[row * 3072..(row + 1) * 3072];
        assert_eq!((image[0], image[1], image[3071]), (10 + number as u8, 0, 100 + number as u8));
    }
}
