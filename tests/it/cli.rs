//! Arguments, exit codes, and what goes to which stream.

use std::time::{Duration, Instant};

use crate::support::{Lab, SCRIPT, assert_soon};

/// A sweep of two runs, two epochs each.
const SWEEP: &str = r#"
let runs = sweep(#{
    data: digits().take(200), model: linear(), train: 100, test: 50,
    lr: [0.05, 0.1], batch: 10, epochs: 2,
}).run("results");
print(`${runs.len} rows`);
"#;

#[test]
fn help_and_version() {
    let lab = Lab::new();
    for flag in ["--help", "-h"] {
        let help = lab.run([flag]);
        assert_eq!((help.code, &help.stderr[..]), (Some(0), ""));
        for part in [
            "Usage: kelvin",
            "-D <NAME=VALUE>",
            "--eval",
            "--quiet",
            "kelvin scripts/quickstart.rhai",
            "Exit codes: 0, 1",
            "130",
        ] {
            assert!(help.stdout.contains(part), "no `{part}` in\n{}", help.stdout);
        }
    }
    let version = lab.run(["--version"]);
    assert_eq!((version.code, &version.stderr[..]), (Some(0), ""));
    assert!(version.stdout.starts_with(concat!("kelvin ", env!("CARGO_PKG_VERSION"))), "{}", version.stdout);
    assert!(version.stdout.contains("libtorch 2.11.0"), "{}", version.stdout);
}

#[test]
fn an_expression_prints_its_value() {
    let lab = Lab::new();
    for (expression, expected) in [
        ("1 + 1", "2\n"),
        ("resnet(#{ width: 32 }).parameters", "2796202\n"),
        ("resnet(#{ width: 1 }).parameters", "2947\n"),
        ("resnet(#{ width: 64 }).parameters", "11171146\n"),
        ("digits().shape", "[1, 8, 8]\n"),
        ("\"text\"", "text\n"),
        ("let a = 2; a * 3", "6\n"),
        ("print(7)", "7\n"),
        ("let a = 1;", ""),
    ] {
        let run = lab.run(["-e", expression]);
        assert_eq!((run.code, &run.stdout[..], &run.stderr[..]), (Some(0), expected, ""), "{expression}");
    }
    let wrong = lab.run(["-e", "1 + x"]);
    assert_eq!((wrong.code, &wrong.stdout[..]), (Some(1), ""));
    assert!(wrong.stderr.contains("<expression>:1:5 ") && wrong.stderr.contains("`x`"), "{}", wrong.stderr);
}

#[test]
fn an_argument_has_the_type_of_its_default() {
    let lab = Lab::new();
    lab.write(
        SCRIPT,
        r#"for value in [arg("n", 3), arg("x", 0.5), arg("on", false), arg("name", "a")] {
            print(`${type_of(value)} ${value}`);
        }"#,
    );
    let given = |arguments: &[&str]| lab.run([SCRIPT].iter().chain(arguments));

    let defaults = given(&[]);
    assert_eq!((defaults.code, &defaults.stdout[..]), (Some(0), "i64 3\nf64 0.5\nbool false\nstring a\n"));
    // 2 is a number where a number is the default, 7 is text where text is; the last of two counts.
    let typed = given(&["-D", "n=4", "-D", "n=5", "-Dx=2", "-D", "on=true", "-D", "name=7=7"]);
    assert_eq!(
        (typed.code, &typed.stdout[..]),
        (Some(0), "i64 5\nf64 2.0\nbool true\nstring 7=7\n"),
        "{}",
        typed.stderr
    );
    assert_eq!(typed.stderr, "");

    for (argument, says) in [
        ("n=many", "-D n=many: expected an integer, like its default 3"),
        ("n=1.5", "-D n=1.5: expected an integer, like its default 3"),
        ("x=wide", "-D x=wide: expected a number, like its default 0.5"),
        ("on=1", "-D on=1: expected true or false, like its default false"),
    ] {
        let wrong = given(&["-D", argument]);
        assert_eq!((wrong.code, &wrong.stdout[..]), (Some(1), ""));
        assert!(wrong.stderr.contains(says) && wrong.stderr.contains("script.rhai:1:"), "{}", wrong.stderr);
    }
}

#[test]
fn an_argument_without_default_must_be_given() {
    let lab = Lab::new();
    let missing = lab.script("print(arg(\"dir\"));");
    assert_eq!(missing.code, Some(1));
    assert!(
        missing.stderr.contains("-D dir=") && missing.stderr.contains("script.rhai:1:7 "),
        "{}",
        missing.stderr
    );
    let given = lab.run([SCRIPT, "-D", "dir=out/1"]);
    assert_eq!((given.code, &given.stdout[..]), (Some(0), "out/1\n"));
}

#[test]
fn an_argument_that_is_not_read_is_warned_of() {
    let lab = Lab::new();
    // Which ones a script reads is known at its end where it makes their names.
    lab.write(SCRIPT, "let name = \"epochs\"; print(arg(name, 3));");
    let run = lab.run([SCRIPT, "-D", "epoch=4"]);
    assert_eq!((run.code, &run.stdout[..]), (Some(0), "3\n"));
    assert!(
        run.stderr.contains("warning: -D epoch=4 was not used; did you mean `epochs`?"),
        "{}",
        run.stderr
    );
}

#[test]
fn usage_errors() {
    let lab = Lab::new();
    lab.write(SCRIPT, "1");
    let missing = lab.run(["nowhere.rhai"]);
    assert_eq!((missing.code, &missing.stdout[..]), (Some(1), ""));
    assert!(
        missing.stderr.contains("nowhere.rhai: ") && missing.stderr.contains("expected a script"),
        "{}",
        missing.stderr
    );
    // A folder, and bytes that are no text.
    lab.write("folder/binary.rhai", [0xff, 0xfe]);
    for file in ["folder", "folder/binary.rhai"] {
        let run = lab.run([file]);
        assert_eq!(run.code, Some(1));
        assert!(
            run.stderr.contains(&format!("{file}:")) && run.stderr.contains("expected a script"),
            "{}",
            run.stderr
        );
    }
    for arguments in [
        &["--nope"][..],
        &[SCRIPT, "-D", "n"],
        &[SCRIPT, "-D", "=1"],
        &["-e", "1", SCRIPT],
        &[SCRIPT, SCRIPT],
    ] {
        let run = lab.run(arguments);
        assert_eq!((run.code, &run.stdout[..]), (Some(2), ""), "{arguments:?}");
        assert!(run.stderr.contains("error: "), "{}", run.stderr);
    }
}

#[test]
fn output_is_the_scripts_own_and_progress_goes_to_standard_error() {
    let lab = Lab::new();
    let run = lab.script(SWEEP);
    assert_eq!((run.code, &run.stdout[..]), (Some(0), "4 rows\n"), "{}", run.stderr);
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{}", run.stderr);
    assert_eq!(lines[0], "training 2 runs, 4 epochs");
    assert!(
        lines[1].starts_with("2 of 2 runs ended in ") && lines[1].ends_with(" images/s"),
        "{}",
        run.stderr
    );
    // 400 images take some time and not forever.
    let speed = lines[1].trim_end_matches(" images/s").rsplit(' ').next().unwrap().replace(',', "");
    assert!(speed.parse::<u64>().unwrap() > 0, "{}", run.stderr);
    // Plain lines: neither colours nor a bar that goes back over itself.
    assert!(!run.stderr.contains(['\x1b', '\r']), "{:?}", run.stderr);
    assert_eq!(lab.files_under("metrics").len(), 2);
}

#[test]
fn quiet_shows_no_progress() {
    let lab = Lab::new();
    lab.write(SCRIPT, SWEEP);
    for flag in ["--quiet", "-q"] {
        let run = lab.run([flag, SCRIPT]);
        assert_eq!((run.code, &run.stdout[..], &run.stderr[..]), (Some(0), "4 rows\n", ""));
    }
    // Errors are not progress.
    let wrong = lab.run(["--quiet", "-e", "x"]);
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.stderr.contains("`x`"), "{}", wrong.stderr);
}

/// One at a time; see `main.rs`.
mod alone {
    use super::*;

    #[test]
    fn a_finished_sweep_is_not_trained_again() {
        let lab = Lab::new();
        assert_eq!(lab.script(SWEEP).code, Some(0));
        let before = lab.metrics();
        // The folder decides, not the arguments' order or the text of the script.
        let started = Instant::now();
        let again = lab.script(&format!("// the same sweep\n{SWEEP}"));
        assert_soon("a sweep that has ended", started.elapsed(), Duration::from_secs(20));
        assert_eq!((again.code, &again.stdout[..]), (Some(0), "4 rows\n"), "{}", again.stderr);
        assert_eq!(again.stderr, "2 runs had ended before, 0 to do\n");
        assert_eq!(lab.metrics(), before);
    }
}
