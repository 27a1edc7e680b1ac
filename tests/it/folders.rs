//! A sweep's folder as its user sees it: what is done, begun and to do, and who did it.

use std::time::{Duration, Instant};

use kelvin::sweep::columns::of_epochs;
use kelvin::table::Table;

use crate::support::{Lab, assert_soon, read_parquet, texts, wait_until};

/// Two short runs and two that take a while; batches so small that two share a stack on any number
/// of cores.
const SWEEP: &str = "let s = sweep(#{ data: digits().take(400), train: 60, test: 100, model: resnet(#{width: 2}), \
    optimizer: sgd(#{momentum: 0.9}), lr: [0.02, 0.05], batch: 2, epochs: [2, 400] });";

fn checkpoints(lab: &Lab) -> usize {
    lab.files_under("state")
        .iter()
        .filter(|path| path.extension().is_some_and(|end| end == "safetensors"))
        .count()
}

fn statuses(lab: &Lab, expression: &str) -> Vec<(String, String)> {
    let run = lab
        .script(&format!("{SWEEP} s.plan(\"out\").select([\"status\", {expression}]).write(\"p.parquet\");"));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let plan = read_parquet(&lab.path("p.parquet"));
    let names: Vec<String> = plan.schema().fields().iter().map(|field| field.name().clone()).collect();
    texts(&plan, "status").into_iter().zip(texts(&plan, &names[1])).collect()
}

/// Ended by SIGTERM, which leaves a checkpoint and a note; then by SIGKILL, which leaves neither.
#[test]
fn a_plan_says_what_is_done_begun_and_to_do_and_why() {
    let lab = Lab::new();
    lab.write("sweep.rhai", format!("{SWEEP} s.run(\"out\", #{{checkpoint_every: 0, jobs: 1}});"));
    let run = lab.start(["sweep.rhai"]);
    wait_until("a checkpoint of a long run", || checkpoints(&lab) > 0);
    run.signal(libc::SIGTERM);
    let ended = run.end();
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    // Which stack is first is the engine's business: costly ones are.
    let found = statuses(&lab, "\"why\"");
    let by = |status: &str| found.iter().filter(|(own, _)| own == status).collect::<Vec<_>>();
    assert_eq!((by("interrupted").len(), by("to do").len()), (2, 2), "{found:?}");
    assert!(by("interrupted").iter().all(|(_, why)| why.starts_with("goes on from epoch ")), "{found:?}");
    assert!(by("to do").iter().all(|(_, why)| why.contains("nobody began it")), "{found:?}");

    let runs = Table::read_parquet(&lab.path("out/runs.parquet")).unwrap();
    assert_eq!(runs.strings("status").unwrap(), ["interrupted", "interrupted"]);
    let ls = lab.run(["ls", "out"]);
    assert!(ls.stdout.contains("2 interrupted, 2 to do"), "{}", ls.stdout);
    let id = &runs.strings("run_id").unwrap()[0];
    let show = lab.run(["show", "out", &id[..6]]);
    for text in
        ["interrupted: if the sweep is run again, it goes on from epoch", "\"momentum\": 0.9", "last epochs"]
    {
        assert!(show.stdout.contains(text), "{text}: {}", show.stdout);
    }
    let why = lab.run(["-e", &format!("why(\"out\", \"{id}\")")]);
    assert!(why.stdout.contains("goes on from epoch"), "{}{}", why.stdout, why.stderr);

    let run = lab.start(["sweep.rhai"]);
    let before = checkpoints(&lab);
    wait_until("another attempt's checkpoint", || checkpoints(&lab) > before);
    let training = statuses(&lab, "\"why\"");
    assert!(
        training.iter().any(|(status, why)| status == "training" && why.contains("is left to process")),
        "{training:?}"
    );
    run.signal(libc::SIGKILL);
    run.end();
    let begun = statuses(&lab, "\"why\"");
    assert!(
        begun.iter().any(|(status, why)| status == "begun" && why.contains("which is gone")),
        "{begun:?}"
    );
}

/// Runs that another process had begun are more than was announced at the start; on a terminal,
/// too.
#[test]
fn a_sweep_takes_over_from_a_process_that_died() {
    let lab = Lab::new();
    lab.write("sweep.rhai", format!("{} s.run(\"out\", #{{jobs: 1}});", SWEEP.replace("400]", "120]")));
    let first = lab.start(["sweep.rhai"]);
    wait_until("the first process's journals", || !lab.files_under("state").is_empty());
    let second = lab.start(["sweep.rhai"]);
    second.wait_for("waiting for");
    first.signal(libc::SIGKILL);
    first.end();
    let ended = second.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(lab.metrics().len(), 4);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

/// A finished run whose file was removed trains again, from its beginning: it has no checkpoint any
/// more.
#[test]
fn a_run_whose_metrics_are_gone_trains_again() {
    let lab = Lab::new();
    let sweep = SWEEP.replace("400]", "3]");
    let run = format!("{sweep} s.run(\"out\", #{{checkpoint_every: 0}});");
    assert_eq!(lab.script(&run).code, Some(0));
    let before = lab.metrics();
    std::fs::remove_file(&before[0].0).unwrap();
    let why =
        lab.script(&format!("{sweep} print(s.plan(\"out\").filter(\"status <> 'done'\").rows()[0].why);"));
    assert_eq!(
        why.stdout.trim(),
        "starts again: it has no checkpoint; it was done, but its metrics are gone"
    );
    let again = lab.script(&run);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert!(!again.stderr.contains("from a checkpoint"), "{}", again.stderr);
    assert_eq!(lab.metrics().len(), 4);
}

/// A plan that a folder would refuse says so before it is run; a folder that lost its plan is left
/// alone.
#[test]
fn plans_that_do_not_belong_to_a_folder_are_told() {
    let lab = Lab::new();
    let sweep = |lr: &str| {
        format!(
            "let s = sweep(#{{ data: digits().take(60), train: 40, test: 20, model: linear(), lr: {lr}, batch: 10, \
             epochs: 1 }});"
        )
    };
    assert_eq!(lab.script(&format!("{} s.run(\"out\");", sweep("[0.1, 0.2]"))).code, Some(0));
    for (lr, told) in [
        ("[0.1, 0.2, 0.3]", "run(dir, #{extend: true}) adds the others"),
        ("0.1", "of which this plan has only 1 (lr: 0.2 is missing)"),
        ("0.7", "holds another sweep"),
    ] {
        let plan = lab.script(&format!("{} print(s.plan(\"out\").len);", sweep(lr)));
        assert!(plan.code == Some(0) && plan.stderr.contains(told), "{}", plan.stderr);
        let run = lab.script(&format!("{} s.run(\"out\");", sweep(lr)));
        assert!(run.code == Some(1) && run.stderr.contains(told), "{}", run.stderr);
    }
    std::fs::remove_file(lab.path("out/sweep.json")).unwrap();
    let lost = lab.script(&format!("{} s.run(\"out\");", sweep("[0.1, 0.3]")));
    assert!(lost.code == Some(1) && lost.stderr.contains("sweep.json is gone"), "{}", lost.stderr);
    let same = lab.script(&format!("{} s.run(\"out\");", sweep("[0.1, 0.2]")));
    assert!(same.code == Some(0) && same.stderr.contains("2 runs had ended before"), "{}", same.stderr);
}

/// Where a sweep comes from, in the file and on the screen.
#[test]
fn show_tells_where_a_sweep_comes_from() {
    let lab = Lab::new();
    let script = "let s = sweep(#{ data: digits().take(60), train: 40, test: 20, model: linear(), lr: arg(\"lr\", 0.1), \
                  batch: 10, epochs: 1 }); s.run(\"out\");";
    lab.write("sweep.rhai", script);
    let run = lab.run(["sweep.rhai", "-D", "lr=0.2"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let show = lab.run(["show", "out"]).stdout;
    for text in
        ["sweep.rhai (sha256 ", script, "lr=0.2", "libtorch 2.11.0", "frozen     20", "data       digits"]
    {
        assert!(show.contains(text), "{text}: {show}");
    }
    let runs = Table::read_parquet(&lab.path("out/runs.parquet")).unwrap();
    for column in [
        "commit",
        "script_sha256",
        "data_sha256",
        "weights_sha256",
        "host",
        "device",
        "libtorch",
        "seed_noise",
    ] {
        assert!(runs.column(column).is_ok(), "{column}");
    }
    assert_eq!(runs.strings("weights_sha256").unwrap()[0].len(), 64);
}

/// A folder of an earlier version: its files lack later columns, which the plan knows. Runs on
/// other data are told apart by them, and never compared.
#[test]
fn a_folder_of_an_earlier_version_has_the_columns_of_today() {
    let lab = Lab::new();
    let data = |seed: i64| format!("synthetic(#{{ n: 80, classes: 2, shape: [1, 4, 4], seed: {seed} }})");
    let script = format!(
        "let s = sweep(#{{ data: [{}, {}], train: 40, test: 20, model: linear(), lr: [0.1, 0.2], batch: [10, 20], \
         seed: 1..=3, epochs: 3 }}); s.run(\"out\");",
        data(1),
        data(2)
    );
    assert_eq!(lab.script(&script).code, Some(0));
    let new = kelvin::sweep::open(&lab.path("out")).unwrap();
    let later: Vec<&str> =
        of_epochs(false).filter(|column| column.is_later()).map(|column| column.name).collect();
    assert!(later.contains(&"data_options"), "{later:?}");
    for (path, _) in lab.metrics() {
        let file = Table::read_parquet(&path).unwrap();
        let names = file.columns().into_iter().filter(|name| *name != "sweep" && !later.contains(name));
        let names: Vec<String> = names.map(str::to_owned).collect();
        file.select(&names).unwrap().write(&path).unwrap();
    }
    let old = kelvin::sweep::open(&lab.path("out")).unwrap();
    assert_eq!(old.batch(), new.batch());
    let told = lab.script(
        "let steady = results(\"out\").steady(); \
         print(steady.group([\"data_options\"], [\"count(*) as n\"]).sort(\"data_options\").rows()); \
         print(collapse(steady).temperatures); predictions(steady)",
    );
    for seed in [1, 2] {
        let row = format!("classes=2, n=80, noise=1.0, seed={seed}, shape=[1,4,4]\", \"n\": 12}}");
        assert!(told.stdout.contains(&row), "{}{}", told.stdout, told.stderr);
    }
    // One temperature of each data set, instead of both together.
    assert!(told.stdout.trim().ends_with("\n[2]"), "{}", told.stdout);
    assert!(told.stderr.contains("found `data_options` digest="), "{}", told.stderr);
}

/// One sorted file beside the others, which stay.
#[test]
fn compacting_sorts_all_rows_into_one_file() {
    let lab = Lab::new();
    let script = "let s = sweep(#{ data: digits().take(60), train: 40, test: 20, model: linear(), lr: [0.2, 0.1], \
                  batch: [20, 10], seed: 1..=3, epochs: 3 }); s.run(\"out\");";
    assert_eq!(lab.script(script).code, Some(0));
    let before = lab.metrics();
    for _ in 0..2 {
        let run = lab.run(["compact", "out"]);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert!(run.stdout.contains("36 rows of 12 runs"), "{}", run.stdout);
    }
    assert_eq!(lab.metrics(), before);
    let files = lab.files_under("compact");
    let [file] = &files[..] else { panic!("{files:?}") };
    let all = Table::read_parquet(file).unwrap();
    let temperatures = all.floats("temperature").unwrap();
    assert!(temperatures.is_sorted());
    let mut sums = [
        all.floats("test_loss").unwrap(),
        kelvin::sweep::open(&lab.path("out")).unwrap().floats("test_loss").unwrap(),
    ];
    sums.iter_mut().for_each(|losses| losses.sort_by(f64::total_cmp));
    assert_eq!(sums[0], sums[1]);
}

/// One at a time; see `main.rs`.
mod alone {
    use super::*;

    /// SIGUSR1 asks for checkpoints now, and training goes on.
    #[test]
    fn a_signal_asks_for_checkpoints() {
        let lab = Lab::new();
        lab.write("sweep.rhai", format!("{SWEEP} s.run(\"out\");"));
        let run = lab.start(["sweep.rhai"]);
        wait_until("a short run's end", || !lab.files_under("metrics").is_empty());
        assert_eq!(checkpoints(&lab), 0, "none is due in the first minute");
        for (signal, least) in [(libc::SIGUSR1, 1), (libc::SIGUSR2, 2)] {
            let sent = Instant::now();
            run.signal(signal);
            wait_until("a checkpoint", || checkpoints(&lab) >= least);
            assert_soon("a checkpoint", sent.elapsed(), Duration::from_secs(2));
        }
        run.signal(libc::SIGTERM);
        assert_eq!(run.end().code, Some(130));
    }

    /// Many runs: quick counts in every test run, the full ones with KELVIN_SOAK.
    #[test]
    fn many_finished_runs_open_plan_and_compact_quickly() {
        let soak = std::env::var_os("KELVIN_SOAK").is_some();
        let runs = if soak { 10_000 } else { 500 };
        let lab = Lab::new();
        let sweep = |more: usize| {
            format!(
                "let s = sweep(#{{ data: digits().take(40), train: 20, test: 10, model: linear(), lr: 0.1, batch: 10, \
                 seed: 1..={}, epochs: 40 }});",
                runs + more
            )
        };
        lab.write("sweep.rhai", format!("{} s.run(\"out\");", sweep(0)));
        // The deadline of a test is shorter than what ten thousand runs take.
        let trained = lab.kelvin().arg("-q").arg("sweep.rhai").status().unwrap();
        assert!(trained.success());
        let timed = |what: &str, script: String, seconds: f64| {
            let run = lab.script(&script);
            assert_eq!(run.code, Some(0), "{}", run.stderr);
            println!("{what}: {runs} runs in {:?}", run.time);
            let limit = if soak { seconds } else { seconds / 2.0 };
            assert_soon(what, run.time, Duration::from_secs_f64(limit));
            run
        };
        let opened = timed("open", "print(results(\"out\").len);".to_owned(), 2.0);
        assert_eq!(opened.stdout.trim(), (40 * runs).to_string());
        let plan = "print(s.plan(\"out\").filter(\"status = 'to do'\").len);";
        let planned = timed("plan", format!("{} {plan}", sweep(20)), 2.0);
        assert_eq!(planned.stdout.trim(), "20");
        let started = Instant::now();
        assert_eq!(lab.run(["compact", "out"]).code, Some(0));
        println!("compact: {runs} runs in {:?}", started.elapsed());
        assert_soon("compact", started.elapsed(), Duration::from_secs(20));
    }
}
