//! The paper's figures, in little.

use std::fs;

use crate::support::Lab;

/// The project's scripts, where a script of the lab finds them.
fn scripts(lab: &Lab) {
    fs::create_dir(lab.path("scripts")).unwrap();
    for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, lab.path("scripts").join(path.file_name().unwrap())).unwrap();
    }
}

/// Fewer epochs and seeds than at any scale: what is found says nothing, but everything is made.
const LITTLE: [&str; 6] = ["-D", "epochs=1", "-D", "seeds=2", "-D", "dir=out"];

#[test]
fn all_figures_are_made_once_and_only_drawn_again() {
    let lab = Lab::new();
    scripts(&lab);
    let make = || lab.run(["scripts/all-figures.rhai"].iter().chain(&LITTLE));
    let first = make();
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    let page = fs::read_to_string(lab.path("out/quick/figures.html")).unwrap();
    for number in 1..=12 {
        assert!(lab.path(&format!("out/quick/figure{number:02}.svg")).is_file(), "figure {number}");
        assert!(page.contains(&format!("Figure {number}. ")), "figure {number}");
    }
    let metrics = lab.metrics();
    let again = make();
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert!(!again.stderr.contains("training"), "{}", again.stderr);
    assert!(lab.metrics() == metrics);
    assert_eq!(again.stdout, first.stdout);
    assert_eq!(fs::read_to_string(lab.path("out/quick/figures.html")).unwrap(), page);
}

#[test]
fn the_scripts_on_new_ground_come_to_their_verdicts() {
    let lab = Lab::new();
    scripts(&lab);
    for name in ["sutskever", "adam", "train-size", "width", "label-noise"] {
        let script = format!("scripts/{name}.rhai");
        let run = lab.run([script.as_str()].iter().chain(&LITTLE));
        assert_eq!(run.code, Some(0), "{name}: {}", run.stderr);
        assert!(run.stdout.contains("prediction"), "{name}: {}", run.stdout);
        assert!(lab.path(&format!("out/quick/{name}.svg")).is_file(), "{name}");
    }
}

#[test]
fn an_unknown_scale_is_told_the_known_ones() {
    let lab = Lab::new();
    scripts(&lab);
    let run = lab.run(["scripts/figure03.rhai", "-D", "scale=huge"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("expected quick, digits, cifar10-small or paper"), "{}", run.stderr);
}
