//! Bad input gets one clear message with file, line and caret, exit code 1, and nothing is lost.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch};
use image::{DynamicImage, ImageFormat};
use parquet::arrow::ArrowWriter;

use crate::support::{Lab, Run, SCRIPT, assert_soon, read_parquet, texts};

/// Marks the place in a script that the message must point at; it is taken out before the script
/// runs.
const HERE: char = '§';

/// A script that must fail.
struct Mistake {
    /// The script, with [`HERE`].
    script: String,
    /// What its message must contain: what was expected, what was found, what to write instead.
    says: &'static [&'static str],
}

fn mistake(script: impl Into<String>, says: &'static [&'static str]) -> Mistake {
    Mistake { script: script.into(), says }
}

/// The options of a small sound sweep, with changes: a value for a key, or an empty one to leave it
/// out.
fn options(changes: &[(&str, &str)]) -> String {
    let sound = [
        ("data", "digits().take(200)"),
        ("model", "linear()"),
        ("train", "100"),
        ("test", "50"),
        ("lr", "0.1"),
        ("batch", "10"),
        ("epochs", "2"),
    ];
    let kept = sound.iter().filter(|(key, _)| !changes.iter().any(|(changed, _)| changed == key));
    kept.chain(changes)
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| format!("{key}: {value}"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// A sweep that is refused before it is run. The place is marked in a change; else it is the call.
fn sweep(changes: &[(&str, &str)], says: &'static [&'static str]) -> Mistake {
    let options = options(changes);
    let call = if options.contains(HERE) { "sweep" } else { "§sweep" };
    mistake(format!("print(1);\nlet s = {call}(#{{{options}}});\ns.run(\"results\");\n"), says)
}

/// Runs the script and checks everything that every failure has in common.
fn fail(lab: &Lab, mistake: &Mistake) -> Run {
    let before = lab.metrics();
    let script = mistake.script.replace(HERE, "");
    let run = lab.script(&script);
    let context = format!("{script}\n{}", run.stderr);
    assert_eq!(run.code, Some(1), "{context}");
    for part in mistake.says {
        assert!(run.stderr.contains(part), "no `{part}` in the message of\n{context}");
    }
    let head = &mistake.script[..mistake.script.find(HERE).expect("every mistake has its place")];
    let line = head.matches('\n').count() + 1;
    let column = head.rsplit('\n').next().unwrap().chars().count() + 1;
    let place = format!("{SCRIPT}:{line}:{column} ");
    assert!(run.stderr.contains(&place), "expected the place {place}in the message of\n{context}");
    let shown = script.lines().nth(line - 1).unwrap();
    let mut lines = run.stderr.lines().skip_while(|text| !text.contains(shown));
    assert!(lines.next().is_some(), "the line itself is not shown for\n{context}");
    assert!(lines.next().is_some_and(|text| text.contains('┬')), "no caret under the line for\n{context}");
    assert_eq!(run.stderr.matches("Error: ").count(), 1, "expected one message for\n{context}");
    assert!(!run.stderr.contains("panicked") && !run.stderr.contains("RUST_BACKTRACE"), "{context}");
    assert_eq!(lab.metrics(), before, "the files under metrics/ changed for\n{context}");
    run
}

fn fail_all(mistakes: impl IntoIterator<Item = Mistake>) {
    let lab = Lab::new();
    for mistake in mistakes {
        fail(&lab, &mistake);
    }
    assert!(!lab.path("results").exists(), "a sweep that was refused made its folder");
}

#[test]
fn wrong_options() {
    fail_all([
        sweep(
            &[("lr", ""), ("§lerning_rate", "0.1")],
            &["unknown option `lerning_rate`", "did you mean `lr`?"],
        ),
        sweep(&[("§btach", "10")], &["unknown option `btach`", "did you mean `batch`?"]),
        sweep(&[("§zebra", "1")], &["unknown option `zebra`", "known: data, sampling, train"]),
        sweep(&[("§batch_size", "10")], &["unknown option `batch_size`", "did you mean `batch`?"]),
        sweep(&[("§nesterov", "true")], &["unknown option `nesterov`", "it belongs to sgd(#{nesterov: …})"]),
        sweep(&[("lr", "§\"fast\"")], &["lr: expected a number > 0, found the text \"fast\""]),
        sweep(&[("batch", "§10.5")], &["batch: expected an integer ≥ 1, found the number 10.5"]),
        sweep(&[("batch", "§-1")], &["batch: expected an integer ≥ 1, found the integer -1"]),
        sweep(
            &[("data", "§\"digits\"")],
            &["data: expected a data set such as digits()", "found the text \"digits\""],
        ),
        sweep(
            &[("model", "§8")],
            &["model: expected a model such as resnet(#{width: 8})", "found the integer 8"],
        ),
        sweep(&[("augment", "§1")], &["augment: expected true or false, found the integer 1"]),
        sweep(&[("lr", "")], &["the option `lr` is missing"]),
        sweep(&[("data", "")], &["the option `data` is missing"]),
        sweep(&[("lr", "[]")], &["lr: an axis without values", "expected at least one"]),
        sweep(
            &[("sampling", "§\"splt\"")],
            &[
                "sampling: expected \"split\", \"random\", \"fixed\", found \"splt\"",
                "did you mean \"split\"?",
            ],
        ),
        sweep(
            &[("sampling", "§\"bootstrap\"")],
            &["expected \"split\", \"random\", \"fixed\", found \"bootstrap\""],
        ),
        mistake(
            "§sgd(#{ momentum: [0.0, 0.9] })",
            &["sgd: momentum: expected one value, found an array", "optimizer: [sgd(#{momentum: …}), sgd("],
        ),
        mistake(
            "sgd();\nsgd(#{§momentm: 0.9})",
            &["sgd: unknown option `momentm`", "did you mean `momentum`?"],
        ),
        mistake(
            format!("§train(#{{{}}})", options(&[("lr", "[0.1, 0.2]")])),
            &["train: expected one run, found 2", "use sweep(#{…}).run(dir)"],
        ),
        mistake(
            format!("let s = sweep(#{{{}}});\ns.run(\"results\", #{{§job: 2}})", options(&[])),
            &["run: unknown option `job`", "did you mean `jobs`?"],
        ),
    ]);
}

#[test]
fn numbers_out_of_range() {
    fail_all([
        sweep(&[("lr", "§0")], &["lr: expected a number > 0, found the integer 0"]),
        sweep(&[("lr", "[0.1, §-0.1]")], &["lr: expected a number > 0, found the number -0.1"]),
        sweep(&[("lr", "0.0/0.0")], &["lr: expected a number > 0, found the number NaN"]),
        sweep(&[("lr", "1.0/0.0")], &["lr: expected a number > 0, found the number inf"]),
        sweep(&[("batch", "101")], &["batch is 101, larger than the training set of 100 examples"]),
        sweep(&[("batch", "§0")], &["batch: expected an integer ≥ 1, found the integer 0"]),
        sweep(
            &[("batch", "§0"), ("epochs", "|run| 1")],
            &["batch: expected an integer ≥ 1, found the integer 0"],
        ),
        sweep(&[("epochs", "§0")], &["epochs: expected an integer from 1", "found the integer 0"]),
        sweep(
            &[("train", "150"), ("test", "51")],
            &["train 150 and test 51", "train + test must be at most the 200 examples"],
        ),
        sweep(&[("train", "§0")], &["train: expected an integer ≥ 1, found the integer 0"]),
        sweep(
            &[("train", "9223372036854775807")],
            &["train 9223372036854775807", "at most the 200 examples"],
        ),
        mistake("digits().§take(5000)", &["expected 1 to 1797 examples, found 5000"]),
        mistake(
            "sgd(#{momentum: §1.5})",
            &["momentum: expected a number from 0 to below 1, found the number 1.5"],
        ),
    ]);
}

#[test]
fn wrong_scripts() {
    fail_all([
        mistake("let a = 1;\nlet d = §digit();\n", &["unknown function `digit`", "did you mean `digits`?"]),
        // Columns count characters, not bytes.
        mistake(
            "let a = \"é\"; let d = digits().§tak(3);",
            &["unknown function `tak`", "did you mean `take`?"],
        ),
        mistake("let a = 1;\nprint(a + §bb);\n", &["unknown variable `bb`"]),
        mistake("let n = 3;\nfn f() {\n  §n\n}\nf()", &["unknown variable `n`", "fn f(n)"]),
        mistake("let a = 1;\nlet b = (2 + §;\n", &["Unexpected ';'"]),
    ]);
}

/// A folder with CIFAR-10's six files: all zero, sparse, of the right size but for one of them.
fn cifar(lab: &Lab, folder: &str, odd: &str, size: u64) {
    fs::create_dir(lab.path(folder)).unwrap();
    for name in ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"]
    {
        let file = File::create(lab.path(folder).join(format!("{name}.bin"))).unwrap();
        file.set_len(if name == odd { size } else { 30_730_000 }).unwrap();
    }
}

/// A PNG file of one colour.
fn png(width: u32, height: u32) -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    DynamicImage::new_rgb8(width, height).write_to(&mut file, ImageFormat::Png).unwrap();
    file.into_inner()
}

/// A PNG file that says it is 60,000 pixels wide and high: 10 GB, were one to believe it.
fn png_that_boasts() -> Vec<u8> {
    let mut file = png(4, 4);
    file[16..20].copy_from_slice(&60_000u32.to_be_bytes());
    file[20..24].copy_from_slice(&60_000u32.to_be_bytes());
    // The header's checksum must be right, or it is refused for that.
    let mut crc = !0u32;
    for &byte in &file[12..29] {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    file[29..33].copy_from_slice(&(!crc).to_be_bytes());
    file
}

fn write_images(path: &Path, images: &[Option<&[u8]>], labels: &[Option<i64>]) {
    let images: ArrayRef = Arc::new(BinaryArray::from_iter(images.iter().copied()));
    let labels: ArrayRef = Arc::new(Int64Array::from(labels.to_vec()));
    let batch =
        RecordBatch::try_from_iter_with_nullable([("image", images, true), ("label", labels, true)]).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn wrong_results_folders() {
    let lab = Lab::new();
    let run_in = |dir: &str, lr: &str, says| {
        mistake(format!("let s = sweep(#{{{}}});\ns.§run(\"{dir}\");\n", options(&[("lr", lr)])), says)
    };
    // Permissions do not bind root, so the folders are ones that nobody can make.
    lab.write("file", "a file, not a folder");
    fail(&lab, &run_in("file/results", "0.1", &["file/results: ", "Not a directory", "another folder"]));
    fail(&lab, &run_in("file", "0.1", &["file: ", "another folder"]));
    fail(
        &lab,
        &run_in("/proc/kelvin/results", "0.1", &["/proc/kelvin/results: ", "--allow-write /proc/kelvin"]),
    );
    assert_eq!(lab.metrics(), []);

    let first = lab.script(&run_in("results", "0.1", &[]).script.replace(HERE, ""));
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert_eq!(lab.metrics().len(), 1);
    let plan = fs::read(lab.path("results/sweep.json")).unwrap();
    // `fail` checks that the files of the first sweep stay as they are.
    fail(
        &lab,
        &run_in(
            "results",
            "0.2",
            &["results: holds another sweep", "lr: 0.2 instead of 0.1", "another folder"],
        ),
    );
    assert_eq!(fs::read(lab.path("results/sweep.json")).unwrap(), plan);

    fail(
        &lab,
        &mistake(
            "§results(\"nowhere\")",
            &["nowhere: expected a folder with a sweep", "sweep(#{…}).run(dir)"],
        ),
    );
    lab.write("torn/sweep.json", &plan[..plan.len() / 2]);
    fail(&lab, &run_in("torn", "0.1", &["torn/sweep.json: damaged, or not a plan"]));
}

#[test]
fn a_diverging_run_in_memory_is_an_error() {
    let lab = Lab::new();
    let script = format!("let r = §train(#{{{}}});", options(&[("lr", "1e6"), ("epochs", "5")]));
    fail(&lab, &mistake(script, &["the run diverged: the loss is", "after epoch"]));
}

#[test]
fn figures_and_pages() {
    let table = "let t = table([#{lr: 0.1, gap: 1.0, name: \"a\"}]);\n";
    let mistake = |script: &str, says| mistake(format!("{table}{script}"), says);
    fail_all([
        mistake("figure([plot(t).x(\"lr\").§y(\"gpa\")])", &["no column `gpa`", "did you mean `gap`?"]),
        mistake("figure([plot(t).x(\"lr\").y(\"gap\").§mean(\"btach\")])", &["no column `btach`", "known: "]),
        mistake(
            "plot(t).x(\"lr\").y(\"gap\").§lines(\"nme\").save(\"a.svg\")",
            &["no column `nme`", "did you mean `name`?"],
        ),
        mistake("§figure([plot(t).x(\"lr\").y(\"name\")])", &["column `name` holds text, expected numbers"]),
        mistake("§figure([plot(t)])", &["say which columns"]),
        mistake(
            "§figure([plot(t).x(\"lr\").y(\"gap\"), 5])",
            &["plot 2 of 2: expected a plot such as", "found the integer 5"],
        ),
        mistake("§figure([])", &["expected an array of plots, found an empty one"]),
        mistake("figure([1], #{§colums: 2})", &["unknown option `colums`", "did you mean `columns`?"]),
        mistake("figure([1], #{columns: §0})", &["columns: expected an integer ≥ 1, found the integer 0"]),
        mistake("figure([1], #{title: §3})", &["title: expected text, found the integer 3"]),
        mistake("plot(t).§legend(1)", &["`legend` does not take (Plot, integer)"]),
        mistake("page(\"p\").§figure(t, \"c\")", &["figure: expected a plot such as", "found a Table"]),
        mistake("page(\"p\").§verdicts(t)", &["no column `prediction`", "known: gap, lr, name"]),
        mistake("page(\"p\").§save(\"page.pdf\")", &["must end in .html", "page.html"]),
        mistake(
            "figure([plot(t).x(\"lr\").y(\"gap\")]).§save(\"a.pdf\")",
            &["must end in .svg or .png", "a.svg"],
        ),
    ]);
}

/// The message of each kind of mistake, as it is shown: `tests/mistakes/NAME.rhai` and `NAME.txt`.
/// KELVIN_BLESS=1 writes them anew.
#[test]
fn each_kind_of_mistake_has_its_message() {
    let scripts = crate::support::files("tests/mistakes/*.rhai");
    let mut kinds = 0;
    for script in scripts.map(Result::unwrap) {
        let run = Lab::new().script(&std::fs::read_to_string(&script).unwrap());
        assert_eq!(run.code, Some(1), "{}: {}", script.display(), run.stderr);
        // The folder that a temporary one lies in.
        let room = std::env::temp_dir();
        let said = run.stderr.replace(&format!("--allow-write {}", room.display()), "--allow-write /tmp");
        let snapshot = script.with_extension("txt");
        if std::env::var_os("KELVIN_BLESS").is_some() {
            std::fs::write(&snapshot, &said).unwrap();
        }
        let wanted = std::fs::read_to_string(&snapshot).unwrap();
        assert_eq!(said, wanted, "{}", script.display());
        // The place.
        assert!(run.stderr.contains("script.rhai:") && run.stderr.contains("here"), "{}", run.stderr);
        kinds += 1;
    }
    assert!(kinds >= 20, "{kinds}");
}

/// One at a time; see `main.rs`.
mod alone {
    use super::*;

    #[test]
    fn wrong_cifar_files() {
        let lab = Lab::new();
        let peak_of_nothing = lab.run(["-e", "digits()"]).peak;

        fail(
            &lab,
            &mistake(
                "let d = §cifar10(\"nowhere\");",
                &["nowhere: expected a folder", "data_batch_1.bin", "found none"],
            ),
        );
        fs::create_dir(lab.path("empty")).unwrap();
        fail(
            &lab,
            &mistake(
                "§cifar10(\"empty\")",
                &["empty: expected data_batch_1.bin", "*.parquet", "found neither"],
            ),
        );

        cifar(&lab, "five", "data_batch_4", 30_730_000);
        fs::remove_file(lab.path("five/data_batch_4.bin")).unwrap();
        fail(
            &lab,
            &mistake("§cifar10(\"five\")", &["data_batch_4.bin: expected 30730000 bytes", "found no file"]),
        );

        // The last file is the short one: whoever reads before checking has read the others by
        // then.
        for (folder, size) in [("short", 30_729_999), ("nothing", 0), ("long", 30_730_001)] {
            cifar(&lab, folder, "test_batch", size);
            let script = format!("let a = 1;\nlet d = §cifar10(\"{folder}\");");
            let run = fail(&lab, &mistake(script, &["test_batch.bin: expected 30730000 bytes"]));
            assert!(run.stderr.contains(&format!("found {size}")), "{}", run.stderr);
            let more = run.peak.saturating_sub(peak_of_nothing);
            assert!(more < 15_000_000, "{more} bytes were held for a file that is refused");
        }

        cifar(&lab, "label", "", 0);
        let mut file = File::options().write(true).open(lab.path("label/data_batch_2.bin")).unwrap();
        file.seek(SeekFrom::Start(3 * 3073)).unwrap();
        file.write_all(&[200]).unwrap();
        fail(
            &lab,
            &mistake(
                "§cifar10(\"label\")",
                &["label/data_batch_2.bin: record 3 has the label 200, expected 0 to 9"],
            ),
        );
    }

    #[test]
    fn wrong_image_files() {
        let lab = Lab::new();
        let (small, large, boast) = (png(8, 8), png(8, 9), png_that_boasts());
        let file = lab.path("images.parquet");
        let read = "let a = 1;\nlet d = §images(\"images.parquet\");";
        let good = Some(&small[..]);

        // The file as it should be is read, so what follows fails for its mistake alone.
        write_images(&file, &[good, good], &[Some(0), Some(1)]);
        let sound = lab.script("print(images(\"images.parquet\").shape)");
        assert_eq!((sound.code, &sound.stdout[..]), (Some(0), "[3, 8, 8]\n"), "{}", sound.stderr);

        type Case<'a> = (Option<&'a [u8]>, Option<i64>, &'static [&'static str]);
        let cases: [Case; 7] = [
            (Some(&large), Some(1), &["images.parquet: image 1: expected [3, 8, 8]", "found [3, 9, 8]"]),
            (None, Some(1), &["images.parquet: image 1: null"]),
            (Some(b"these bytes are no image"), Some(1), &["images.parquet: image 1: "]),
            (Some(&small[..small.len() / 2]), Some(1), &["images.parquet: image 1: "]),
            (Some(&boast), Some(1), &["images.parquet: image 1: "]),
            (good, None, &["images.parquet: row 1: the label `label` is null"]),
            (good, Some(-1), &["images.parquet: row 1: the label is -1, expected 0 to"]),
        ];
        for (image, label, says) in cases {
            write_images(&file, &[good, image], &[Some(0), label]);
            let run = fail(&lab, &mistake(read, says));
            assert!(
                run.peak < sound.peak + 20_000_000,
                "{} bytes for\n{}",
                run.peak - sound.peak,
                run.stderr
            );
        }

        // Cut in half it has no footer.
        write_images(&file, &[good, good], &[Some(0), Some(1)]);
        let whole = fs::read(&file).unwrap();
        fs::write(&file, &whole[..whole.len() / 2]).unwrap();
        fail(&lab, &mistake(read, &["images.parquet: not a readable Parquet file"]));
        fail(
            &lab,
            &mistake(
                "§images(\"nowhere.parquet\")",
                &["nowhere.parquet: expected Parquet files, found none"],
            ),
        );

        // A folder of images of the wrong size is not CIFAR-10.
        fs::create_dir(lab.path("folder")).unwrap();
        write_images(&lab.path("folder/train.parquet"), &[good], &[Some(0)]);
        fail(
            &lab,
            &mistake(
                "§cifar10(\"folder\")",
                &["expected [3, 32, 32] images of 10 classes, found [3, 8, 8]", "images(path)"],
            ),
        );
    }

    #[test]
    fn a_diverging_run_ends_alone() {
        let lab = Lab::new();
        let script = format!(
            "let runs = sweep(#{{{}}}).run(\"results\");\nprint(runs.len);\n",
            options(&[("lr", "[1e6, 0.05]"), ("epochs", "5")])
        );
        let first = lab.script(&script);
        assert_eq!(first.code, Some(1), "{}", first.stderr);
        for part in ["1 of 2 runs done, 1 diverged, 0 failed", "results/runs.parquet"] {
            assert!(first.stderr.contains(part), "{}", first.stderr);
        }
        // The script went on with the run that is left.
        assert_eq!(first.stdout, "5\n");

        let runs = read_parquet(&lab.path("results/runs.parquet"));
        let lrs = texts(&runs, "lr").iter().map(|lr| lr.parse::<f64>().unwrap()).collect::<Vec<_>>();
        assert_eq!(lrs, [1e6, 0.05]);
        assert_eq!(texts(&runs, "status"), ["diverged", "done"]);
        let errors = texts(&runs, "error");
        assert!(errors[0].contains("the loss is") && errors[0].contains("after epoch"), "{errors:?}");
        assert_eq!(errors[1], "");
        let [file] = &lab.files_under("metrics")[..] else {
            panic!("expected one file: {:?}", lab.metrics())
        };
        assert_eq!(file.file_stem().unwrap().to_string_lossy(), texts(&runs, "run_id")[1]);
        let epochs = read_parquet(file);
        assert_eq!(epochs.num_rows(), 5);
        // It shared its stack with the one that diverged.
        for loss in texts(&epochs, "train_loss") {
            assert!(loss.parse::<f64>().unwrap().is_finite(), "{loss}");
        }

        let state = || {
            use std::os::unix::fs::MetadataExt;
            let about = |path: &std::path::PathBuf| {
                (path.clone(), path.metadata().unwrap().ino(), fs::read(path).unwrap())
            };
            lab.files_under("metrics").iter().chain(&lab.files_under("state")).map(about).collect::<Vec<_>>()
        };
        let before = state();
        let again = lab.script(&script);
        assert_eq!(again.code, Some(1), "{}", again.stderr);
        assert!(again.stderr.contains("1 diverged"), "{}", again.stderr);
        assert!(!again.stderr.contains("training"), "it was trained again: {}", again.stderr);
        assert_eq!(again.stdout, "5\n");
        assert_eq!(state(), before);
        assert_soon("a sweep that has ended", again.time, Duration::from_secs(20));
    }
}
