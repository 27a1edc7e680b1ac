//! Every function of the manual, and Rhai's own, called with more than can be done at once, hears
//! an interrupt soon.
//!
//! The calls are made within one process, as jobs in the background: each has an interrupt of its
//! own.

use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use kelvin::interrupt::{Scope, work_for};
use kelvin::script::{Output, Session, Shown, engine, evaluate, guarded, redirect};
use kelvin::table::Table;

use crate::manual::{Known, known, large, large_option, required, soak, takes_options, with_option};
use crate::support::{in_own_process, is_asked_for, say};

/// From a call's beginning to its interrupt.
fn delay() -> Duration {
    Duration::from_millis(if soak() { 400 } else { 60 })
}

/// From the interrupt to the end of the call: 1 s is wanted; other tests and other programs may
/// keep the cores busy.
fn bound() -> Duration {
    Duration::from_secs(if soak() { 1 } else { 10 })
}

/// A call that does not end even now is given up.
const GIVEN_UP: Duration = Duration::from_secs(60);

/// Rows of the large tables.
fn rows() -> usize {
    if soak() { 10_000_000 } else { 3_000_000 }
}

/// A table with the columns of runs: a row each (`per_run` 1), or a row per epoch.
fn table(rows: usize, per_run: usize) -> Table {
    let number =
        |of: &dyn Fn(usize) -> f64| -> ArrayRef { Arc::new((0..rows).map(of).collect::<Float64Array>()) };
    let integer =
        |of: &dyn Fn(usize) -> i64| -> ArrayRef { Arc::new((0..rows).map(of).collect::<Int64Array>()) };
    let text = |of: &dyn Fn(usize) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values((0..rows).map(of)))
    };
    // Not in order, and not the same twice.
    let noise = |row: usize| (row.wrapping_mul(2_654_435_761) % 1_000_003) as f64 / 1_000_003.0;
    let lr = |row: usize| 0.01 * (1 + row / per_run % 50) as f64;
    let batch = |row: usize| 16 << (row / per_run % 3);
    let columns = [
        ("run_id", text(&|row| format!("r{:016x}", row / per_run))),
        ("epoch", integer(&|row| (row % per_run) as i64 + 1)),
        ("lr", number(&lr)),
        ("batch", integer(&|row| batch(row))),
        ("temperature", number(&|row| lr(row) / batch(row) as f64)),
        ("seed", integer(&|row| (row / per_run) as i64)),
        ("seed_split", integer(&|row| (row / per_run % 100) as i64)),
        ("seed_init", integer(&|row| (row / per_run / 100) as i64)),
        ("train_loss", number(&|row| 0.1 + noise(row))),
        ("test_loss", number(&|row| 0.2 + noise(row + 1))),
        ("gap", number(&|row| 0.1 + noise(row + 1) - noise(row))),
        ("train_accuracy", number(&|row| 1.0 - noise(row + 2))),
        ("test_accuracy", number(&|row| 0.9 - noise(row + 3))),
        ("accuracy_gap", number(&|row| 0.1 + noise(row + 3) - noise(row + 2))),
    ];
    Table::new(RecordBatch::try_from_iter(columns).unwrap())
}

/// Takes what calls print, and forgets it.
struct Nowhere;

impl Output for Nowhere {
    fn print(&self, _: &str) {}
    fn tell(&self, _: &str) {}
    fn show(&self, _: Shown) {}
    fn progress(&self, _: &str, _: bool) {}
    fn clear(&self, _: bool) {}
}

/// What is made once and shared by all calls; `FOLDER` is where they may write.
const SETUP: &str = r#"
let passes = 100_000;
let examples = 1_000_000;
let numbers = []; numbers.pad(10_000_000, 0.5); for i in 0..1000 { numbers[i * 9_999] = i * 1.0 }
let integers = []; integers.pad(5_000_000, 7); for i in 0..1000 { integers[i * 4_999] = i }
let letters = ""; letters.pad(100_000_000, 'a');
let words = ""; words.pad(20_000_000, "a b,");
let rows = []; rows.pad(300_000, #{ lr: 0.1, gap: 0.2, name: "x" });
let names = []; names.pad(1_000_000, "gap");
let small = table(#{ temperature: [1e-3, 2e-3, 4e-3, 8e-3], gap: [0.24, 0.2, 0.16, 0.13], batch: [8, 8, 16, 16] });
let fit = fit_gap(small, #{ bootstrap: 100 });
let data = synthetic(#{ n: 200_000 });
let many = synthetic(#{ n: 20_000_000, shape: [1, 1, 2], noise: 0 });
let net = mlp(#{ hidden: [1024, 1024] }).init(#{ data: data });
let few = sweep(#{ data: data, model: linear(), lr: [0.1, 0.2], batch: 2, epochs: passes });
let plan = sweep(#{ data: data, model: linear(), lr: 0.1, batch: 2, seed: 1..=20_000, epochs: passes });
let points = plot(runs).x("temperature").y("gap");
let picture = figure([points, points.log_x()]);
sweep(#{ data: digits(), model: linear(), lr: [0.1, 0.2], batch: 100, epochs: 2 }).run("FOLDER/done");
"#;

struct Call {
    script: String,
    scope: Scope,
}

/// A thread with an engine and the values.
struct Caller {
    calls: Sender<Call>,
    answers: Receiver<(Instant, String)>,
}

impl Caller {
    fn start(folder: &Path) -> Self {
        let (calls, to_do) = channel::<Call>();
        let (answer, answers) = channel();
        let folder = folder.to_owned();
        let work = move || {
            redirect(Some(Rc::new(Nowhere)));
            let session = Session::silent();
            session.set_writable(vec![folder.clone()]);
            session.set_data_dir(Some(folder.join("none")));
            let engine = engine(&session);
            let mut scope = rhai::Scope::new();
            scope.push("runs", table(rows(), 1)).push("epochs", table(rows(), 100));
            work_for(Some(Scope::default()));
            let setup = SETUP.replace("FOLDER", &folder.display().to_string());
            let made = evaluate(&engine, &mut scope, &setup);
            let _ = answer.send((Instant::now(), made.map_or_else(|e| e.to_string(), |_| String::new())));
            let variables = scope.len();
            for call in to_do {
                work_for(Some(call.scope));
                let said = guarded(|| evaluate(&engine, &mut scope, &call.script));
                let at = Instant::now();
                session.stop_jobs();
                scope.rewind(variables);
                let said = said.map_or_else(|error| error.to_string(), |value| value.type_name().to_owned());
                let _ = answer.send((at, said.chars().take(300).collect()));
            }
        };
        std::thread::Builder::new().stack_size(64 << 20).spawn(work).unwrap();
        let (_, failed) = answers.recv_timeout(Duration::from_secs(240)).expect("the values are made");
        assert!(failed.is_empty(), "{failed}");
        Self { calls, answers }
    }

    /// Makes a call and interrupts it: how long it went on, if it was still at work, and what it
    /// said.
    fn interrupted(&self, script: &str) -> Option<(Option<Duration>, String)> {
        let scope = Scope::default();
        self.calls.send(Call { script: script.to_owned(), scope: scope.clone() }).unwrap();
        match self.answers.recv_timeout(delay()) {
            Ok((_, said)) => Some((None, said)),
            Err(RecvTimeoutError::Disconnected) => Some((None, "the thread died".to_owned())),
            Err(RecvTimeoutError::Timeout) => {
                let raised = Instant::now();
                scope.raise();
                let (at, said) = self.answers.recv_timeout(GIVEN_UP).ok()?;
                Some((Some(at.saturating_duration_since(raised)), said))
            }
        }
    }
}

/// Threads that interrupts left behind.
fn left_behind() -> usize {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return 0 };
    let names = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.trim() == "kelvin-native").count()
}

/// Waits until what a call left behind is over: it would slow down the next one, and fill the
/// memory. `before` are those that earlier calls left.
fn let_it_end(before: usize) {
    const PATIENCE: Duration = Duration::from_secs(3);
    let until = Instant::now() + PATIENCE;
    while left_behind() > before && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The scripts that call a function with large arguments: the most telling ones together, then each
/// other one in its place.
fn calls(known: &Known, folder: &str, problems: &mut Vec<String>) -> Vec<String> {
    let name = known.function.name.as_str();
    let mut choices: Vec<Vec<String>> = Vec::new();
    for (parameter, kind) in &known.parameters {
        let values = if takes_options(name, parameter, kind) {
            let base = required(name, parameter, folder);
            let mut maps = vec![format!("#{{ {base} }}")];
            // The options of a sweep are those of another function.
            let (owner, options) = match parameter.as_str() {
                "sweep" => ("sweep", vec!["lr", "batch", "epochs", "model"]),
                _ => (name, known.options.clone()),
            };
            if options.is_empty() {
                problems.push(format!("{}: no options are known", known.function.signature));
            }
            for option in options {
                match large_option(owner, option) {
                    Some(value) => maps.push(with_option(&base, option, value)),
                    None => problems.push(format!("{name}: no large value for the option `{option}`")),
                }
            }
            maps
        } else {
            large(name, parameter, kind, folder)
        };
        if values.is_empty() {
            problems.push(format!("{}: no argument for {parameter}: {kind}", known.function.signature));
            return Vec::new();
        }
        choices.push(values);
    }
    let first: Vec<String> = choices.iter().map(|values| values[0].clone()).collect();
    let mut scripts = vec![known.call(&first)];
    for (place, values) in choices.iter().enumerate() {
        for value in &values[1..] {
            let mut arguments = first.clone();
            arguments[place] = value.clone();
            scripts.push(known.call(&arguments));
        }
    }
    scripts
}

/// Rhai's own functions that take long on long arrays and texts.
const RHAI: [&str; 34] = [
    "let a = numbers; a.sort()",
    "let a = numbers; a.sort(|x, y| y - x)",
    "numbers.order_by(|x, y| x < y)",
    "numbers.order_desc()",
    "let a = integers; a.dedup()",
    "let a = integers; a.dedup(|x, y| x == y)",
    "numbers.map(|x| x + 1)",
    "numbers.filter(|x| x > 1)",
    "numbers.reduce(|sum, x| sum + x)",
    "numbers.for_each(|x| x)",
    "numbers.index_of(-1.0)",
    "numbers.index_of(|x| x < 0)",
    "numbers.contains(-1.0)",
    "numbers.all(|x| x >= 0)",
    "numbers.zip(numbers, |x, y| x + y)",
    "let a = numbers; a.retain(|x| x > 1).len",
    "numbers == numbers",
    "let a = numbers; a += a; a.len",
    "letters.split(\"a\").len",
    "letters.split('a').len",
    "letters.split_rev(\"\").len",
    "words.split().len",
    "letters.to_chars().len",
    "let s = letters; s.replace(\"a\", \"b\"); s.len",
    "let s = words; s.replace('a', \"bb\"); s.len",
    "letters.index_of(\"b\")",
    "letters.to_upper().len",
    "letters.contains(\"b\")",
    "let s = letters; s.pad(100_000_000, \"xy\"); s.len",
    "let a = []; a.pad(100_000_000, 1); a.len",
    "for x in numbers { x }",
    "let sum = 0; while true { sum += 1 }",
    "sleep(1000)",
    "let n = 0; for c in letters { n += 1 }",
];

#[test]
fn every_function_hears_an_interrupt() {
    in_own_process(CALLS);
}

const CALLS: &str = "alone::interrupts::calls_are_interrupted";

#[test]
fn calls_are_interrupted() {
    if !is_asked_for(CALLS) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let pipe = std::ffi::CString::new(format!("{path}/pipe")).unwrap();
    // SAFETY: the call only reads the path, which ends in a zero byte.
    assert_eq!(unsafe { libc::mkfifo(pipe.as_ptr(), 0o600) }, 0);
    let mut problems = Vec::new();
    let mut scripts: Vec<String> = RHAI.iter().map(|script| (*script).to_owned()).collect();
    for known in known() {
        let all = calls(&known, path, &mut problems);
        // A sample: of a function with many options, some; the long test makes every call.
        let most = if soak() { usize::MAX } else { 2 };
        let step = all.len().div_ceil(most).max(1);
        scripts.extend(all.into_iter().step_by(step));
    }
    assert!(
        problems.is_empty(),
        "write arguments for these, in large() or large_option():\n{}",
        problems.join("\n")
    );

    let only = std::env::var("KELVIN_CALLS").unwrap_or_default();
    scripts.retain(|script| script.contains(&only));
    let mut caller = Caller::start(folder.path());
    let (mut slow, mut heard) = (Vec::new(), Vec::new());
    for script in &scripts {
        let mut took = None;
        // A busy machine may be slow once.
        for _ in 0..if soak() { 3 } else { 1 } {
            let (started, before) = (Instant::now(), left_behind());
            let answer = caller.interrupted(script);
            let after = Instant::now();
            if answer.is_some() {
                let_it_end(before);
            }
            if std::env::var_os("KELVIN_CALLS").is_some() {
                say(&format!(
                    "{script}\n    {answer:?} in {:?}, left behind for {:?}",
                    started.elapsed(),
                    after.elapsed()
                ));
            }
            match answer {
                None => {
                    took = Some(GIVEN_UP);
                    caller = Caller::start(folder.path());
                    break;
                }
                Some((time, said)) => {
                    // A call that is refused because a name is wrong would show nothing.
                    let wrong = ["kelvin itself failed", "unknown variable", "unknown function"];
                    let is_wrong = said == "the thread died" || wrong.iter().any(|text| said.contains(text));
                    assert!(!is_wrong, "{script}: {said}");
                    took = took.map_or(time, |before: Duration| time.map(|time| time.min(before)));
                    if took.is_none_or(|took| took < bound()) {
                        break;
                    }
                }
            }
        }
        if let Some(took) = took {
            heard.push((took, script));
            if took >= bound() {
                slow.push(format!("{took:?}: {script}"));
            }
        }
    }
    heard.sort();
    if soak() {
        for (took, script) in heard.iter().rev().take(10) {
            say(&format!("interrupt heard after {took:?}: {script}"));
        }
    }
    let most = heard.last().map_or(Duration::ZERO, |(took, _)| *took);
    say(&format!("{} calls, {} interrupted, heard after {most:?} at most", scripts.len(), heard.len()));
    // Of all of them two in three were at work when they were interrupted.
    assert!(!only.is_empty() || heard.len() >= scripts.len() / 4, "few calls were still at work");
    assert!(slow.is_empty(), "not heard within {:?}:\n{}", bound(), slow.join("\n"));
}
