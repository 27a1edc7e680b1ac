//! Whole sweeps: the quickstart script, the same rows again, data that moved or changed.

use kelvin::data::{DataSpec, Dataset, Source, SyntheticOptions};
use kelvin::table::Table;

use crate::support::Lab;

/// Metric columns of a sweep's folder as text, bit for bit; the time is not a result.
pub fn metrics(lab: &Lab, dir: &str) -> Vec<Vec<String>> {
    let table = kelvin::sweep::open(&lab.path(dir)).unwrap();
    let columns: Vec<&str> = table.columns().into_iter().filter(|name| *name != "seconds").collect();
    let bits = |name: &str| match table.floats(name) {
        Ok(values) => values.iter().map(|value| value.to_bits().to_string()).collect(),
        Err(_) => table.strings(name).unwrap(),
    };
    columns.into_iter().map(bits).collect()
}

/// `scripts/quickstart.rhai`, shortened: 36 runs, the fit and the figure; twice the same bits.
#[test]
fn quickstart_gives_its_figure_and_the_same_rows_twice() {
    let lab = Lab::new();
    let script = crate::support::checkout().join("scripts/quickstart.rhai");
    let script = script.to_str().unwrap();
    for dir in ["first", "second"] {
        let run = lab.run([script, "-D", "epochs=2", "-D", &format!("dir={dir}")]);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert!(run.stdout.contains("gap = (a/T + b) exp(−T/c), 36 points"), "{}", run.stdout);
        let figure = std::fs::read_to_string(lab.path(dir).join("gap.svg")).unwrap();
        for text in ["<svg", "batch 16", "batch 128", "temperature", "mean", "Eq. 1"] {
            assert!(figure.contains(text), "the figure lacks {text}");
        }
    }
    let first = metrics(&lab, "first");
    assert_eq!(first, metrics(&lab, "second"));
    assert_eq!(first[0].len(), 72);
}

/// Writes 60 images of a seed as Parquet.
pub fn write_images(lab: &Lab, folder: &str, seed: i64) {
    let options = SyntheticOptions { n: 60, classes: 3, shape: [3, 8, 8], noise: 1.0, seed };
    std::fs::create_dir_all(lab.path(folder)).unwrap();
    crate::training::write_images(&lab.path(folder), &DataSpec::new(options.into()));
}

pub fn sweep(folder: &str, dir: &str) -> String {
    format!(
        "sweep(#{{ data: images(\"{folder}\"), train: 40, test: 20, model: linear(), lr: [0.1, 0.2], batch: 10, \
         epochs: 2 }}).run(\"{dir}\")"
    )
}

/// A run is what its files hold: they may move, and a sweep goes on; they may not change.
#[test]
fn data_may_move_but_not_change() {
    let lab = Lab::new();
    write_images(&lab, "here", 1);
    assert_eq!(lab.script(&sweep("here", "out")).code, Some(0));
    let whole = metrics(&lab, "out");
    // One run is to be trained again.
    std::fs::remove_file(&lab.files_under("metrics")[0]).unwrap();
    std::fs::rename(lab.path("here"), lab.path("there")).unwrap();
    let moved = lab.script(&sweep("there", "out"));
    assert_eq!(moved.code, Some(0), "{}", moved.stderr);
    assert_eq!(metrics(&lab, "out"), whole);

    write_images(&lab, "other", 2);
    let changed = lab.script(&sweep("other", "out"));
    assert_eq!(changed.code, Some(1));
    assert!(changed.stderr.contains("holds another sweep"), "{}", changed.stderr);
}

/// Folders of one kind with different images are different data sets.
#[test]
fn two_folders_are_two_data_sets() {
    let lab = Lab::new();
    write_images(&lab, "a", 1);
    write_images(&lab, "b", 2);
    let script = "let s = sweep(#{ data: [images(\"a\"), images(\"b\")], train: 40, test: 20, model: linear(), lr: 0.1, \
                  batch: 10, epochs: 2 }); print(s.len); let t = s.run(\"out\"); print(t.column(\"test_loss\"));";
    let run = lab.script(script);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stdout.starts_with("2\n"), "{}", run.stdout);
    let losses = kelvin::sweep::open(&lab.path("out")).unwrap().floats("test_loss").unwrap();
    assert_ne!(losses[..2], losses[2..]);
}

/// Each run of a plan with what it is expected to cost.
#[test]
fn a_plan_is_a_table_with_its_cost() {
    let lab = Lab::new();
    let run = lab.run([
        "-e",
        "let p = sweep(#{ data: digits(), model: resnet(#{ width: 4 }), lr: range(0.1, 0.35, 0.1), batch: 8, \
         epochs: |run| paper_epochs(run.temperature) }).plan(); p.write(\"plan.parquet\"); p.len",
    ]);
    assert_eq!((run.code, run.stdout.trim()), (Some(0), "3"), "{}", run.stderr);
    let plan = Table::read_parquet(&lab.path("plan.parquet")).unwrap();
    assert_eq!(plan.floats("images").unwrap(), [300.0 * 1496.0; 3]);
    assert!(plan.floats("core_seconds").unwrap().iter().all(|&seconds| seconds > 1.0 && seconds < 1000.0));
}

/// A data set that changed after the plan was made is refused where it is opened.
#[test]
fn opening_checks_the_content() {
    let lab = Lab::new();
    write_images(&lab, "a", 1);
    let source = || Source::images(lab.path("a").to_str().unwrap(), None, None);
    let spec = Dataset::load(source()).unwrap().spec().clone();
    assert!(Dataset::open(&spec).is_ok());
    write_images(&lab, "a", 2);
    let error = Dataset::open(&spec).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("have changed"), "{error}");
}

/// A script's function gets every epoch's row as it comes. Its error is shown where it is, stops
/// the sweep, and what was trained is kept: the same sweep goes on from there.
#[test]
fn a_function_of_every_epoch_sees_them_all_and_may_stop_the_sweep() {
    let lab = Lab::new();
    let sweep = |dir: &str, options: &str| {
        format!(
            "sweep(#{{ data: digits(), train: 1500, test: 100, model: resnet(#{{ width: 2 }}), lr: [0.05, 0.1],\n\
             batch: 20, epochs: 30 }}).run(\"{dir}\", {options});"
        )
    };
    let whole = lab.script(&format!(
        "let seen = [];\n{}\nprint(seen.len); print(seen.filter(|row| row.epoch == 30).len);\n\
         let row = seen[0]; print(row.gap == row.test_loss - row.train_loss); print(row.steps);\n\
         seen.sort(|a, b| if 1000 * a.lr + a.epoch < 1000 * b.lr + b.epoch {{ -1 }} else {{ 1 }});\n\
         print(seen == results(\"whole\").sort([\"lr\", \"epoch\"]).rows());",
        sweep("whole", "#{ on_epoch: |row| seen.push(row) }")
    ));
    assert_eq!((whole.code, whole.stdout.trim()), (Some(0), "60\n2\ntrue\n75\ntrue"), "{}", whole.stderr);
    // Both runs have begun by then, and neither has ended.
    let both = "let begun = #{}; let stop = |row| { begun[row.run_id] = true; \
                if begun.len() == 2 && row.epoch > 4 { throw \"enough\" } };\n";
    let stopped = lab.script(&format!("{both}{}", sweep("cut", "#{ on_epoch: stop }")));
    assert_eq!(stopped.code, Some(1));
    assert!(stopped.stderr.contains("enough"), "{}", stopped.stderr);
    let snapshots = walk(&lab.path("cut/state")).into_iter().filter(|name| name.ends_with(".safetensors"));
    assert_eq!(snapshots.count(), 2, "a checkpoint of each run");
    let rest = lab.script(&sweep("cut", "#{}"));
    assert_eq!(rest.code, Some(0), "{}", rest.stderr);
    assert!(rest.stderr.contains("from a checkpoint"), "{}", rest.stderr);
    let without_times = |dir| {
        let mut columns = metrics(&lab, dir);
        columns.truncate(12);
        columns
    };
    assert_eq!(without_times("cut"), without_times("whole"));
    for (options, message) in [
        ("#{ on_epoch: 3 }", "on_epoch: expected a function of a row"),
        ("#{ on_epoch: |row| 1, executor: slurm() }", "on_epoch: only run(dir"),
    ] {
        let refused = lab.script(&sweep("other", options));
        assert!(refused.stderr.contains(message), "{}", refused.stderr);
    }
}

fn walk(folder: &std::path::Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path().is_dir() {
            true => names.extend(walk(&entry.path())),
            false => names.push(entry.file_name().to_string_lossy().into_owned()),
        }
    }
    names
}
