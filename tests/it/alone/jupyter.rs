//! The notebook kernel, with Jupyter's own client and nbconvert.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::{assert_soon, checkout, program};

/// Everything that `tests/jupyter.py` did, as a person at a notebook would. `make test` installs
/// Jupyter's client and sets KELVIN_PYTHON.
#[test]
fn notebooks_run_complete_inspect_and_interrupt() {
    let Some(python) = std::env::var_os("KELVIN_PYTHON") else {
        eprintln!("skipped: KELVIN_PYTHON names no Python with Jupyter's client; run `make test`");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let work = folder.path().join("work");
    std::fs::create_dir(&work).unwrap();
    let done = Command::new(python)
        .arg(checkout().join("tests/jupyter.py"))
        .arg(program())
        .current_dir(&work)
        .env("HOME", folder.path())
        .env("XDG_CONFIG_HOME", folder.path())
        .env("JUPYTER_DATA_DIR", folder.path().join("jupyter"))
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let found: Value = serde_json::from_slice(&done.stdout).unwrap();
    let text =
        |name: &str| found[name].as_str().unwrap_or_else(|| panic!("{name}: {}", found[name])).to_owned();
    let within = |name: &str, limit: f64| {
        let seconds = found[name].as_f64().unwrap();
        println!("{name}: {seconds:.4}");
        assert_soon(name, Duration::from_secs_f64(seconds), Duration::from_secs_f64(limit));
    };
    let is = |name: &str, wanted: Value| assert_eq!(found[name], wanted, "{name}");

    assert!(text("installed").contains("notebooks offer the kernel kelvin now"), "{}", text("installed"));
    is("argv", serde_json::json!(["jupyter", "run", "{connection_file}"]));
    is("info", serde_json::json!(["kelvin", "rhai", ".rhai"]));

    is("sum", "2".into());
    is("number", 1.into());
    within("seconds_of_a_sum", 0.1);
    is("lines", 1000.into());
    assert!(
        found["table"]["text/html"].as_str().unwrap().contains("<td>&lt;a&gt;</td>"),
        "{}",
        found["table"]
    );
    assert!(found["table"]["text/plain"].as_str().unwrap().contains("3 rows, 3 columns"));
    is("plot_kinds", serde_json::json!(["image/svg+xml", "text/plain"]));
    assert!(text("plot").starts_with("<svg"));
    is("shown", serde_json::json!([["image/svg+xml", "text/plain"], ["image/png", "text/plain"]]));

    let error = &found["error"];
    assert_eq!(
        (&error[0], &error[1]),
        (&"error".into(), &"unknown function `fit_gpa`; did you mean `fit_gap`?".into())
    );
    assert!(error[2].as_str().unwrap().contains("<input 6>:2:1"), "{error}");
    is("after_error", "ok".into());
    is("aborted", "aborted".into());
    is("never", "error".into());

    is("completed", serde_json::json!([["model"], "mod"]));
    within("seconds_of_completion", 0.05);
    assert_eq!(found["inspected"][0], true);
    assert!(found["inspected"][1].as_str().unwrap().starts_with("fit_gap(table: Table)"));
    is("unknown", false.into());
    is("complete", serde_json::json!(["incomplete", "complete"]));
    is("history", serde_json::json!(["nothing_of_this_name", "never"]));

    within("seconds_to_stop_a_loop", 0.2);
    within("seconds_to_stop_training", 1.0);
    within("seconds_to_stop_by_message", 0.2);
    is("interrupted", serde_json::json!(["error", "Interrupted"]));
    is("training_interrupted", "Interrupted".into());
    is("interrupted_by_message", "Interrupted".into());
    is("kept", "42".into());
    is("after_idle_interrupt", "ok".into());

    is("progress", serde_json::json!(["training 2 runs, 10 epochs"]));
    assert!(text("progress_at_the_end").starts_with("2 of 2 runs ended in"));
    is("html", (10 + 2).into());
    assert!(text("job").starts_with("job 1 (job): ended after") && text("job").contains("1 of 1 runs done"));
    assert!(text("time").starts_with("wall "), "{}", text("time"));
    assert!(text("question").starts_with("fit_gap(table: Table)"));
    assert!(found["stream_messages"].as_u64().unwrap() < 500, "{}", found["stream_messages"]);
    assert!(text("rows").contains("overlap 0"), "{}", text("rows"));
    is("ans", "7".into());
    is("searched", serde_json::json!(["sweep(#{ da"]));
    assert!(text("exit").contains("shutting its kernel down"), "{}", text("exit"));
    within("seconds_to_stop_sleeping", 0.2);
    is("sleep_interrupted", "Interrupted".into());
    within("seconds_to_stop_beside_a_stalled_client", 5.0);
    is("stopped_beside_a_stalled_client", "error".into());
    // Jupyter's client ends a kernel by force after more than two seconds.
    within("seconds_to_end", 1.5);
    within("seconds_to_end_while_it_works", 1.9);
    assert!(found["checkpoints"].as_u64().unwrap() > 0);

    let odd = &found["odd"];
    let in_odd = |name: &str, wanted: Value| assert_eq!(odd[name], wanted, "{name}");
    in_odd("replayed", "1".into());
    in_odd("answered", serde_json::json!([true, false]));
    in_odd(
        "histories",
        serde_json::json!([
            ["ok", []],
            ["ok", []],
            ["ok", ["n"]],
            "ok",
            "ok",
            ["ok", ["let n = 0;"]],
            "ok",
            ["ok", ["n += 1;", "n"]],
            "ok"
        ]),
    );
    in_odd(
        "ends",
        serde_json::json!({
            "swe -1": ["ok", 0, 0, false], "swe 0": ["ok", 0, 0, false], "swe 3": ["ok", 0, 3, true],
            "swe 4": ["ok", 0, 3, true], "swe 1000000000000": ["ok", 0, 3, true], "swe None": ["ok", 0, 3, true],
            "swe x": ["ok", 0, 3, true], "😀swe 1": ["ok", 1, 1, false], "😀swe 4": ["ok", 1, 4, true],
            "😀swe 5": ["ok", 1, 4, true], "😀swe 6": ["ok", 1, 4, true],
        }),
    );
    in_odd("no_position", serde_json::json!(["sweep"]));
    in_odd("half_a_pair", serde_json::json!(["sweep"]));
    in_odd("half_a_pair_inspected", false.into());
    in_odd("inspected_at", serde_json::json!([true, true, true]));
    in_odd(
        "refused",
        serde_json::json!({
            "execute_request": ["execute_reply", "error"], "complete_request": ["complete_reply", "error"],
            "is_complete_request": ["is_complete_reply", "error"], "debug_request": ["debug_reply", "error"],
            "no_such_request": ["no_such_reply", "error"], "control": "error",
        }),
    );
    in_odd("no_user", "ok".into());
    in_odd("comms", "ok".into());
    in_odd("still_there", "1".into());
    in_odd("visible", serde_json::json!(["a\\x1b]0;pwn\\x07b\n", "c\\x1b]0;pwn\\x07"]));
    for (address, found) in odd["without_key"].as_object().unwrap() {
        assert_eq!(found, &serde_json::json!([1, true]), "{address}");
    }
    in_odd("without_key_here", "ok".into());
    assert_eq!(found["batch"], serde_json::json!({ "said": [1, 1], "at_the_latest": true }));

    for part in ["converted_table", "converted_plot", "converted_text"] {
        is(part, true.into());
    }
}
