//! Holds what plans store: the JSON and the id of a spec never change, or finished runs are not
//! found again.

use rhai::EvalAltResult;

use super::sweeps::SweepHandle;
use crate::script::{Session, engine};
use crate::train::RunSpec;

/// Blocks of three lines: a script (`-` where it would need files), the run's id, its JSON.
fn blocks() -> Vec<[String; 3]> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference/run_ids.txt");
    let text = std::fs::read_to_string(file).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    assert!(lines.len() >= 3 * 20 && lines.len().is_multiple_of(3), "{}", lines.len());
    lines.chunks_exact(3).map(|block| [0, 1, 2].map(|line| block[line].to_owned())).collect()
}

#[test]
fn scripts_make_the_specs_that_plans_store() {
    let engine = engine(&Session::silent());
    let mut wrong = Vec::new();
    for [script, id, json] in blocks().into_iter().filter(|[script, ..]| script != "-") {
        let made: Result<SweepHandle, Box<EvalAltResult>> = engine.eval(&script);
        let made = made.unwrap_or_else(|error| panic!("{script}: {error}"));
        let run = &made.plan.runs[0];
        let found = serde_json::to_string(&run.spec).unwrap();
        if (&run.id, &found) != (&id, &json) {
            wrong.push(format!("{script}\n{}\n{found}\n", run.id));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn stored_specs_are_read_and_written_as_they_are() {
    let mut wrong = Vec::new();
    for [_, id, json] in blocks() {
        let spec: RunSpec = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{json}: {error}"));
        let found = serde_json::to_string(&spec).unwrap();
        if (&spec.id(), &found) != (&id, &json) {
            wrong.push(format!("{}\n{found}\n", spec.id()));
        }
        // Keys in another order say the same.
        let sorted: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(serde_json::from_value::<RunSpec>(sorted).unwrap(), spec, "{json}");
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
