//! Every example of the reference runs, as it is written there.

use crate::support::Lab;

#[test]
fn every_example_runs_in_an_empty_folder() {
    let session = kelvin::script::Session::silent();
    let engine = kelvin::script::engine(&session);
    let mut ran = 0;
    for function in kelvin::script::manual::functions(&engine) {
        let Some(example) = function.example.filter(|example| !example.needs_more) else { continue };
        let lab = Lab::new();
        let run = lab.script(&example.script);
        assert_eq!(run.code, Some(0), "{}\n{}\n{}", function.signature, example.script, run.stderr);
        ran += 1;
    }
    assert!(ran > 80, "{ran} examples");
}

/// The scripts of the project, and the modules that the program carries.
#[test]
fn every_script_passes_the_check() {
    let scripts = crate::support::files("scripts/*.rhai");
    let modules = crate::support::files("stdlib/*.rhai");
    let files: Vec<String> =
        scripts.chain(modules).map(|path| path.unwrap().to_string_lossy().into_owned()).collect();
    assert!(files.len() > 15, "{files:?}");
    let mut arguments = vec!["check".to_owned()];
    arguments.extend(files);
    let run = Lab::new().run(&arguments);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
}
