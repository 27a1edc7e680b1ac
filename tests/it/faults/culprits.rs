//! Fault 8: a run that cannot be trained ends alone.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kelvin::data::{DataSpec, SyntheticOptions};
use kelvin::sweep::{Call, Fault, Files, Plan, PlannedRun, Provenance, RunOptions, Silent, Store};

use super::{assert_same, begin_all, published, results, run_to_the_end, small_plan};
use crate::support::{Lab, read_parquet, texts};

/// Each run's status and error, in the order of the plan.
fn ends(dir: &Path) -> Vec<(String, String)> {
    let runs = read_parquet(&dir.join("runs.parquet"));
    texts(&runs, "status").into_iter().zip(texts(&runs, "error")).collect()
}

fn write_images(lab: &Lab) {
    let options = SyntheticOptions { n: 60, classes: 3, shape: [3, 8, 8], noise: 1.0, seed: 1 };
    fs::create_dir_all(lab.path("images")).unwrap();
    crate::training::write_images(&lab.path("images"), &DataSpec::new(options.into()));
}

const SWEEP: &str = r#"
let common = |data, model, lr| #{
    data: data, train: 40, test: 20, model: model, lr: lr, batch: 10, epochs: 3, seed: 1,
};
// Some 400 GB.
let large = common.call(synthetic(#{ n: 200100, shape: [1, 8, 8] }), resnet(#{ width: 400 }), 0.1);
large.train = 200000;
large.batch = 200000;
let all = sweep([
    common.call(digits(), linear(), [0.1, 1e200, 0.2]),
    large,
    common.call(images("images"), linear(), 0.1),
    common.call(digits(), resnet(#{ width: 1 }), 0.01),
]);
if arg("only_save", false) { all.save("out"); } else { all.run("out", #{ retry: "failed" }); }
"#;

#[test]
fn runs_that_cannot_be_trained_end_alone_and_say_why() {
    let lab = Lab::new();
    write_images(&lab);
    lab.write("sweep.rhai", SWEEP);
    let saved = lab.run(["sweep.rhai", "-D", "only_save=true"]);
    assert_eq!(saved.code, Some(0), "{}", saved.stderr);
    // Between the plan and the training a file goes bad.
    let images = lab.path("images/train.parquet");
    let whole = fs::read(&images).unwrap();
    fs::write(&images, &whole[..whole.len() / 2]).unwrap();
    let run = lab.run(["worker", "out", "1/1"]);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    let last = run.stderr.trim_end().lines().last().unwrap();
    assert!(last.contains("3 of 6 runs done, 1 diverged, 2 failed"), "{last}");
    let told = ends(&lab.path("out"));
    let statuses: Vec<&str> = told.iter().map(|(status, _)| status.as_str()).collect();
    assert_eq!(statuses, ["done", "diverged", "done", "failed", "failed", "done"], "{told:?}");
    for (run, cause) in [(1, "the loss is"), (3, "of memory"), (4, "images")] {
        assert!(told[run].1.contains(cause), "{told:?}");
    }
    assert_eq!(published(&lab.path("out")).len(), 3);

    // The file is whole again; what failed is tried again, what diverged would again.
    fs::write(&images, &whole).unwrap();
    let again = lab.run(["sweep.rhai"]);
    assert_eq!(again.code, Some(1), "{}", again.stderr);
    let last = again.stderr.trim_end().lines().last().unwrap();
    assert!(last.contains("out: 4 of 6 runs done, 1 diverged, 1 failed"), "{last}");
    let told = ends(&lab.path("out"));
    let statuses: Vec<&str> = told.iter().map(|(status, _)| status.as_str()).collect();
    assert_eq!(statuses, ["done", "diverged", "done", "failed", "done", "done"], "{told:?}");
    let store = Store::open(&lab.path("out")).unwrap();
    let attempts = |run: usize| store.attempts(&store.plan().runs[run].id).unwrap().len();
    assert_eq!([1, 3, 4].map(attempts), [1, 2, 2]);
}

/// The system refuses, in vector lanes and in libtorch: a limit that kelvin does not ask about.
#[test]
fn a_run_that_the_system_has_no_memory_for_ends_alone() {
    let lab = Lab::new();
    lab.write(
        "sweep.rhai",
        "let data = synthetic(#{ n: 700, shape: [1, 64, 64] }); \
         let s = |width, batch, precision| #{ data: data, train: 600, test: 100, model: resnet(#{ width: width }), \
         lr: 0.01, batch: batch, epochs: 1, precision: precision }; \
         sweep([s.call(1, 50, \"float32\"), s.call(64, 600, \"float32\"), s.call(64, 600, \"bf16\"), \
         s.call(1, 60, \"float32\")]).run(\"out\", #{ jobs: 1 });",
    );
    let program = lab.kelvin();
    let limited = std::process::Command::new("sh")
        .args(["-c", "ulimit -v 1500000 && exec \"$0\" -q sweep.rhai"])
        .arg(program.get_program())
        .current_dir(lab.path(""))
        .env("NO_COLOR", "1")
        .env("OMP_NUM_THREADS", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&limited.stderr);
    assert_eq!(limited.status.code(), Some(1), "{:?} {stderr}", limited.status);
    let told = ends(&lab.path("out"));
    let statuses: Vec<&str> = told.iter().map(|(status, _)| status.as_str()).collect();
    assert_eq!(statuses, ["done", "failed", "failed", "done"], "{told:?}");
    assert!(told[1..3].iter().all(|(_, error)| error.contains("memory")), "{told:?}");
    assert!(stderr.trim_end().lines().last().unwrap().contains("2 of 4 runs done"), "{stderr}");
}

/// One of a stack panics on its worker thread, whatever it does there: here, as it reads its
/// checkpoint.
#[test]
fn a_run_that_panics_ends_alone() {
    let folder = tempfile::tempdir().unwrap();
    let plan = small_plan();
    let oracle = folder.path().join("oracle");
    run_to_the_end(&plan, &oracle);
    let dir = folder.path().join("out");
    let store = begin_all(&plan, &dir);
    let victim = plan.runs[1].id.clone();
    assert_eq!(store.attempts(&victim).unwrap()[0].checkpoints.len(), 2);
    let armed = Arc::new(AtomicBool::new(true));
    let (panics, own) = (Arc::clone(&armed), victim.clone());
    let hook = move |call, path: &Path| {
        let worker = std::thread::current().name() == Some(kelvin::train::engine::WORKER);
        let its = path.iter().any(|part| part == own.as_str())
            && path.extension().is_some_and(|end| end == "safetensors");
        assert!(!(worker && its && call == Call::Read && panics.load(Ordering::SeqCst)), "a test's panic");
        Fault::None
    };
    let options = RunOptions {
        jobs: Some(1),
        checkpoint_every: Duration::ZERO,
        files: Files::with_hook(Arc::new(hook)),
        ..RunOptions::default()
    };
    let run =
        |plan: &Plan, options| kelvin::sweep::run(plan, &dir, &Provenance::here(), options, &mut Silent);
    let open = |run: &PlannedRun| {
        store.attempts(&run.id).unwrap().iter().filter(|attempt| attempt.ended.is_none()).count()
    };
    let before: Vec<usize> = plan.runs.iter().map(open).collect();
    let summary = run(&plan, &options).unwrap();
    assert_eq!((summary.done, summary.failed), (2, 1), "{summary:?}");
    // Whoever sees an attempt without an end waits for it as long as this process lives.
    assert_eq!(plan.runs.iter().map(open).collect::<Vec<_>>(), before);
    let told = ends(&dir);
    assert_eq!(told[1], ("failed".to_owned(), "a test's panic".to_owned()));
    assert_eq!((told[0].0.as_str(), told[2].0.as_str()), ("done", "done"));
    // It stays failed until it is to be tried again, and then goes on as if nothing had happened.
    armed.store(false, Ordering::SeqCst);
    assert_eq!(run(&plan, &options).unwrap().failed, 1);
    let summary = run(&plan, &RunOptions { retry_failed: true, ..options.clone() }).unwrap();
    assert_eq!(summary.done, 3, "{summary:?}");
    assert_same(&dir, &results(&oracle), "a panic");
}
