//! Files that are written and read: links that somebody planted, what is no file, disks that are
//! full.

use std::os::unix::fs::symlink;
use std::process::Stdio;
use std::time::Duration;

use crate::support::{Lab, assert_soon};
use crate::terminal::Terminal;

/// What the program prints, after a shell that does something first and becomes it: `$$` is the
/// program's own number.
fn as_shell(lab: &Lab, first: &str, rest: &str) -> std::process::Output {
    std::process::Command::new("sh")
        .args(["-c", &format!("{first}; exec \"$KELVIN_PROGRAM\" {rest}")])
        .current_dir(lab.path(""))
        .env("HOME", lab.path("home"))
        .env("XDG_DATA_HOME", lab.path("home/share"))
        .env("NO_COLOR", "1")
        .env("KELVIN_PROGRAM", crate::support::program())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whoever may write in the folder, too, knows the file's name and the process, and no more.
#[test]
fn no_writer_follows_a_planted_link() {
    let lab = Lab::new();
    lab.write("precious", "precious");
    std::fs::create_dir(lab.path("out")).unwrap();
    let written = ["n.safetensors", "t.parquet", "t.csv", "t.json", "f.svg", "f.png", "p.html"];
    // The names themselves, where a link leads somewhere that scripts may write, and names of
    // unfinished files of before.
    for name in written {
        symlink(lab.path("precious"), lab.path(&format!("out/{name}"))).unwrap();
    }
    let plant = "for f in n.safetensors t.parquet t.csv t.json f.svg f.png p.html; do \
        for g in $f.part-$$ ${f%.*}.unfinished-$$ .$f.$$ $f.tmp $f.part; do \
        ln -s ../precious out/$g; done; done; ls -A out | wc -l >planted";
    lab.write(
        "write.rhai",
        "let t = table(#{x: [1.0, 2.0], y: [2.0, 3.0]});\n\
         for ending in [\"parquet\", \"csv\", \"json\"] { t.write(`out/t.${ending}`); }\n\
         let f = figure([plot(t).x(\"x\").y(\"y\")]);\n\
         f.save(\"out/f.svg\"); f.save(\"out/f.png\");\n\
         page(\"p\").figure(f, \"c\").save(\"out/p.html\");\n\
         let r = train(#{data: digits(), model: linear(), epochs: 1, lr: 0.1, batch: 256});\n\
         r.network.save(\"out/n.safetensors\");\n",
    );
    let output = as_shell(&lab, plant, "-q write.rhai");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let planted: usize = std::fs::read_to_string(lab.path("planted")).unwrap().trim().parse().unwrap();
    assert!(planted > 5 * written.len(), "{planted} names");
    assert_eq!(std::fs::read_to_string(lab.path("precious")).unwrap(), "precious");
    for name in written {
        let about = std::fs::symlink_metadata(lab.path(&format!("out/{name}"))).unwrap();
        assert!(about.is_file() && about.len() > 0, "{name}");
    }
    // Nothing else is left: no unfinished file of this run.
    assert_eq!(std::fs::read_dir(lab.path("out")).unwrap().count(), planted);
}

/// Whatever prints: a value, a script, what was piped in, commands, help.
#[test]
fn a_full_standard_output_is_a_failure() {
    let lab = Lab::new();
    lab.write("many.rhai", "for i in 0..20000 { print(`line ${i}`); }");
    lab.write("one.rhai", "print(1 + 1);");
    lab.write("caught.rhai", "try { print(1); print(2); } catch { }");
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    for arguments in [
        &["-e", "1+1"][..],
        &["-q", "many.rhai"],
        &["one.rhai"],
        &["caught.rhai"],
        &["--json", "-e", "[1, 2]"],
        &["-e", "help()"],
        &["check", "one.rhai"],
        &["doc", "doc"],
        &["data"],
        &["--help"],
        &["--version"],
        &["completions", "bash"],
        &["jupyter", "install"],
    ] {
        let output = lab.kelvin().args(arguments).stdin(Stdio::null()).stdout(full()).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains("standard output: No space left on device"), "{arguments:?}: {said}");
        assert!(!said.contains("interrupted"), "{arguments:?}: {said}");
    }
    // Standard error full, too: nobody can be told, and nothing panics.
    let status = lab.kelvin().args(["-e", "1+1"]).stdout(full()).stderr(full()).status().unwrap();
    assert_eq!(status.code(), Some(1));
    // A full standard error loses no result.
    let output = lab.kelvin().args(["-e", "let x = 2; x"]).stderr(full()).output().unwrap();
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "2\n".to_owned()));
}

/// 20 kB of which the file may have 8: what is lost is told, at the end of a long line, too.
#[test]
fn a_file_that_may_not_grow_is_a_failure() {
    let lab = Lab::new();
    lab.write("long.rhai", "let s = \"0123456789\"; let t = \"\"; for i in 0..2000 { t += s; } print(t);");
    // SIGXFSZ is ignored, so that a write beyond the limit is an error.
    let limited = "trap '' XFSZ; ulimit -f 16";
    for rest in ["long.rhai >out.txt", "-e 'let t = \"0123456789\"; for i in 0..12 { t += t; } t' >out.txt"] {
        let output = as_shell(&lab, limited, rest);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{rest}: {said}");
        assert!(said.contains("standard output: File too large"), "{rest}: {said}");
    }
}

/// `| head -1` stops what runs, and nobody is told.
#[test]
fn a_closed_pipe_stops_quietly() {
    let lab = Lab::new();
    lab.write("endless.rhai", "let i = 0; while true { print(i); i += 1; }");
    for arguments in ["endless.rhai", "-e 'help()'", "--help"] {
        let output = as_shell(&lab, "true", &format!("{arguments} | head -1"));
        assert_eq!(text(&output.stdout).lines().count(), 1, "{arguments}");
        assert_eq!(text(&output.stderr), "", "{arguments}");
    }
}

/// One at a time; see `main.rs`.
mod alone {
    use super::*;

    /// The prompt's `:save`, `kelvin doc` and the kernel's description.
    #[test]
    fn commands_follow_no_planted_link() {
        let lab = Lab::new();
        lab.write("precious", "precious");
        let mut terminal = Terminal::start(&lab);
        for name in [format!("s.unfinished-{}", terminal.id()), "s.part".to_owned()] {
            symlink(lab.path("precious"), lab.path(&name)).unwrap();
        }
        terminal.ask("let n = 3;");
        assert!(terminal.ask(":save s.rhai").contains("s.rhai: 1 input"));
        assert_eq!(terminal.leave(), Some(0));
        assert!(std::fs::read_to_string(lab.path("s.rhai")).unwrap().contains("let n = 3;"));
        let plant = "mkdir doc; ln -s ../precious doc/reference.md; ln -s ../precious doc/kelvin.d.rhai";
        let output = as_shell(&lab, plant, "doc doc");
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(std::fs::read_to_string(lab.path("doc/reference.md")).unwrap().contains("# kelvin"));
        let kernel = "home/share/jupyter/kernels/kelvin";
        let plant = format!("mkdir -p {kernel}; ln -s \"$PWD/precious\" {kernel}/kernel.json");
        let output = as_shell(&lab, &plant, "jupyter install");
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(std::fs::symlink_metadata(lab.path(kernel).join("kernel.json")).unwrap().is_file());
        assert_eq!(std::fs::read_to_string(lab.path("precious")).unwrap(), "precious");
    }

    /// What every reader is given: no file at all, or one that is longer than it can be.
    #[test]
    fn what_is_no_file_or_far_too_long_is_refused_at_once() {
        let lab = Lab::new();
        let pipe = std::ffi::CString::new(lab.path("pipe").to_str().unwrap()).unwrap();
        // SAFETY: the name is a C string that outlives the call.
        assert_eq!(unsafe { libc::mkfifo(pipe.as_ptr(), 0o600) }, 0);
        std::fs::create_dir(lab.path("folder")).unwrap();
        let holes = std::fs::File::create(lab.path("holes")).unwrap();
        holes.set_len(6 << 30).unwrap();
        let put = |place: &str, what: &str| {
            let place = lab.path(place);
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            let _ = std::fs::remove_file(&place);
            symlink(if what.starts_with('/') { what.into() } else { lab.path(what) }, place).unwrap();
        };
        let network = "let r = train(#{data: digits(), model: linear(), epochs: 1, lr: 0.1, batch: 256, train: 300, test: 100});";
        lab.write("network.rhai", format!("{network} r.network.load(\"x.safetensors\");"));
        lab.write(
            "init.rhai",
            "train(#{data: digits(), model: linear(), epochs: 1, lr: 0.1, batch: 256, init: \"x.safetensors\"});",
        );
        lab.write("module.rhai", "import \"x\" as x;");
        let readers: [(&str, &[&str]); 9] = [
            ("x.parquet", &["-e", "parquet(\"x.parquet\")"]),
            ("x.safetensors", &["-q", "network.rhai"]),
            ("x.safetensors", &["-q", "init.rhai"]),
            ("s/sweep.json", &["-e", "results(\"s\")"]),
            ("x.rhai", &["x.rhai"]),
            ("x.rhai", &["check", "x.rhai"]),
            ("x.rhai", &["module.rhai"]),
            ("mnist/train-images-idx3-ubyte", &["-e", "mnist(\"mnist\")"]),
            ("c/data_batch_1.bin", &["-e", "cifar10(\"c\")"]),
        ];
        for (place, arguments) in readers {
            // A set's other files are there, so that this one is looked at.
            for name in ["train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"] {
                lab.write(&format!("mnist/{name}"), "");
            }
            for what in ["pipe", "folder", "/dev/zero", "holes"] {
                put(place, what);
                let run = lab.run(arguments.iter().copied());
                let said = format!("{arguments:?} of {what}: {}", run.stderr);
                assert_eq!(run.code, Some(1), "{said}");
                let name = place.rsplit('/').next().unwrap();
                let stem = name.split('.').next().unwrap();
                assert!(run.stderr.contains(stem), "{said}");
                // Training for a network included, on a machine that others use.
                assert_soon(&said, run.time, Duration::from_secs(60));
                assert_soon(&said, run.cpu, Duration::from_secs(30));
                assert!(run.peak < 1 << 30, "{said}: {} MB", run.peak / 1_000_000);
            }
        }
    }

    /// A history that is no file is not waited for.
    #[test]
    fn a_pipe_as_history_keeps_no_prompt_waiting() {
        let lab = Lab::new();
        let folder = lab.path("share/kelvin");
        std::fs::create_dir_all(&folder).unwrap();
        let mut lab = lab;
        lab.set("XDG_DATA_HOME", lab.path("share"));
        let pipe = std::ffi::CString::new(folder.join("history").to_str().unwrap()).unwrap();
        // SAFETY: the name is a C string that outlives the call.
        assert_eq!(unsafe { libc::mkfifo(pipe.as_ptr(), 0o600) }, 0);
        let mut terminal = Terminal::start(&lab);
        assert_eq!(terminal.ask("1 + 1"), "2");
        assert_eq!(terminal.leave(), Some(0));
    }
}
