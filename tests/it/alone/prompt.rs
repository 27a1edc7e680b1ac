//! The prompt at a real pseudo-terminal, and Ctrl-C everywhere.

use std::time::{Duration, Instant};

use crate::support::{Lab, assert_soon, read_parquet, wait_until};
use crate::terminal::{ENTER, PROMPT, Terminal, UP};

/// Training that takes hours.
const LONG: &str = "train(#{data: digits(), model: resnet(#{width: 8}), lr: 0.05, batch: 32, epochs: 1000})";

#[test]
fn values_variables_and_functions() {
    let lab = Lab::new();
    let mut terminal = Terminal::start(&lab);
    assert!(
        terminal.screen().starts_with(concat!("kelvin ", env!("CARGO_PKG_VERSION"))),
        "{}",
        terminal.screen()
    );
    assert_eq!(terminal.ask("1 + 1"), "2");
    assert_eq!(terminal.ask("let n = 3;"), "");
    assert_eq!(terminal.ask("fn twice(x) { 2 * x }"), "");
    assert_eq!(terminal.ask("twice(n) + ans"), "8");
    assert_eq!(terminal.ask("fn twice(x) { 20 * x }"), "");
    assert_eq!(terminal.ask("twice(n)"), "60");
    assert_eq!(terminal.ask("digits().shape"), "[1, 8, 8]");
    assert_eq!(terminal.ask("print(\"once\")"), "once");
    assert_eq!(terminal.ask(""), "");
    // The banner says so.
    assert!(terminal.screen().contains("help() explains all"), "{}", terminal.screen());
    assert!(terminal.ask("help()").contains("help(\"name\") explains a function"));
    let help = terminal.ask("help(\"digits\")");
    assert!(help.contains("handwritten digits"), "{help}");
    assert_eq!(terminal.leave(), Some(0));
}

#[test]
fn an_open_bracket_asks_for_more_lines() {
    let lab = Lab::new();
    let mut terminal = Terminal::start(&lab);
    for line in
        ["let s = sweep(#{", "data: digits(), model: linear(),", "lr: [0.1, 0.2], batch: 10, epochs: 1"]
    {
        terminal.send(line);
        terminal.send(ENTER);
    }
    assert_eq!(terminal.ask("});"), "");
    assert_eq!(terminal.ask("s.len"), "2");
    assert_eq!(terminal.ask("fn f(x) {\rx + 1\r}"), "");
    assert_eq!(terminal.ask("f(2)"), "3");
    assert_eq!(terminal.leave(), Some(0));
}

#[test]
fn an_error_shows_and_the_prompt_comes_back() {
    let lab = Lab::new();
    let mut terminal = Terminal::start(&lab);
    assert_eq!(terminal.ask("let n = 3;"), "");
    let error = terminal.ask("n + lerning");
    assert!(error.contains("unknown variable `lerning`") && error.contains("<input 2>:1:5 "), "{error}");
    assert!(error.contains('┬'), "{error}");
    let error = terminal.ask("sgd(#{momentm: 0.9})");
    assert!(error.contains("did you mean `momentum`?"), "{error}");
    let error = terminal.ask("1 + + ;");
    assert!(error.contains("<input 4>:1:"), "{error}");
    // A line that fails half way keeps what it did before.
    terminal.ask("n = 4; n.nothing()");
    assert_eq!(terminal.ask("n"), "4");
    assert_eq!(terminal.leave(), Some(0));
}

#[test]
fn the_history_outlives_the_session() {
    let lab = Lab::new();
    let mut first = Terminal::start(&lab);
    assert_eq!(first.ask("fn g(x) {\r  x * 7\r}"), "");
    assert_eq!(first.ask("40 + 2"), "42");
    assert_eq!(first.leave(), Some(0));

    let mut second = Terminal::start(&lab);
    second.send(UP);
    second.wait("40 + 2");
    assert_eq!(second.ask(""), "42");
    second.send(UP);
    second.wait("40 + 2");
    second.send(UP);
    // Lines that were typed as one input come back as one.
    second.wait("x * 7");
    assert_eq!(second.ask(""), "");
    assert_eq!(second.ask("g(2)"), "14");
    assert_eq!(second.leave(), Some(0));
}

#[test]
fn ctrl_c_at_the_prompt_drops_the_line() {
    let lab = Lab::new();
    let mut terminal = Terminal::start(&lab);
    assert_eq!(terminal.ask("let n = 3;"), "");
    terminal.interrupt();
    terminal.interrupt();
    terminal.send("n = 4;");
    terminal.wait("n = 4;");
    terminal.interrupt();
    assert_eq!(terminal.ask("n"), "3");
    assert_eq!(terminal.leave(), Some(0));
}

#[test]
fn ctrl_c_stops_a_script_that_loops() {
    let lab = Lab::new();
    let mut terminal = Terminal::start(&lab);
    assert_eq!(terminal.ask("let n = 3;"), "");
    // The second cannot hold on to it.
    for endless in ["loop {}", "loop { try { loop {} } catch {} }"] {
        terminal.begin(&format!("print(\"begun\"); {endless}"));
        terminal.wait("begun");
        let (answer, time) = terminal.interrupt();
        println!("Ctrl-C stopped `{endless}` in {time:?}");
        assert!(answer.contains("interrupted"), "{answer}");
        assert_soon("Ctrl-C", time, Duration::from_secs(1));
    }
    assert_eq!(terminal.ask("n"), "3");
    assert_eq!(terminal.leave(), Some(0));
}

#[test]
fn ctrl_c_stops_training() {
    let lab = Lab::new();
    let mut terminal = Terminal::start(&lab);
    assert_eq!(terminal.ask("let n = 3;"), "");
    for _ in 0..2 {
        terminal.begin(LONG);
        terminal.wait("images/s");
        let (answer, time) = terminal.interrupt();
        println!("Ctrl-C stopped training in {time:?}");
        assert!(answer.contains("interrupted"), "{answer}");
        assert_soon("Ctrl-C", time, Duration::from_secs(1));
        assert_eq!(terminal.ask("n"), "3");
    }
    // And the next training is not stopped by the last Ctrl-C.
    let answer =
        terminal.ask("train(#{data: digits().take(200), model: linear(), lr: 0.1, batch: 10, epochs: 2})");
    assert!(answer.contains("run of 2 epochs"), "{answer}");
    assert_eq!(terminal.leave(), Some(0));
}

/// Each step of this takes longer than anybody wants to wait, so the prompt cannot wait for it.
const SLOW_STEPS: &str = "data: synthetic(#{n: 700, shape: [3, 32, 32]}), model: resnet(#{width: 24}), \
    train: 600, test: 100, lr: 0.01, batch: 600, epochs: 10";

#[test]
fn ctrl_c_does_not_wait_for_a_long_step() {
    let lab = Lab::new();
    let mut terminal = Terminal::start(&lab);
    assert_eq!(terminal.ask("let n = 3;"), "");
    terminal.begin(&format!("train(#{{{SLOW_STEPS}}})"));
    terminal.wait("images/s");
    // Nothing tells that the first step has begun; by now it has, and is far from its end.
    std::thread::sleep(Duration::from_secs(1));
    let (answer, time) = terminal.interrupt();
    println!("Ctrl-C stopped training of long steps in {time:?}");
    assert!(answer.contains("interrupted"), "{answer}");
    assert_soon("Ctrl-C", time, Duration::from_secs(1));
    assert_eq!(terminal.ask("n"), "3");
    // The step may still be computed while the program ends.
    assert_eq!(terminal.leave(), Some(0));
}

#[test]
fn an_interrupted_sweep_keeps_whole_files_and_goes_on_later() {
    let lab = Lab::new();
    let mut terminal = Terminal::start(&lab);
    // Two workers: one ends its run at once, the other is busy for seconds.
    terminal.ask(
        "let s = sweep(#{data: digits().take(200), model: resnet(#{width: 2}), train: 100, test: 50, \
         lr: 0.05, batch: 10, epochs: [1, 150]});",
    );
    terminal.begin("let t = s.run(\"results\", #{jobs: 2});");
    wait_until("the first finished run", || !lab.files_under("metrics").is_empty());
    let (answer, time) = terminal.interrupt();
    println!("Ctrl-C stopped a sweep in {time:?}");
    assert!(answer.contains("interrupted"), "{answer}");
    assert_soon("Ctrl-C", time, Duration::from_secs(1));
    let before = lab.metrics();
    let [(first, _)] = &before[..] else { panic!("expected one file: {before:?}") };
    assert_eq!(read_parquet(first).num_rows(), 1);
    assert_eq!(terminal.ask("results(\"results\").len"), "1");
    assert_eq!(checkpoints(&lab), 1);
    let long = "s.plan(\"results\").filter(\"epochs = 150\").rows()[0]";
    let why = terminal.ask(&format!("why({long})"));
    assert!(why.contains("goes on from epoch ") && why.contains("it was interrupted"), "{why}");

    let answer = terminal.ask("let t = s.run(\"results\", #{jobs: 2});");
    assert!(answer.contains("1 run had ended before, 1 to do"), "{answer}");
    assert_eq!(terminal.ask("t.len"), "151");
    let after = lab.metrics();
    assert_eq!(after.len(), 2);
    assert!(after.contains(&before[0]), "the run that was finished before was trained again");
    let mut rows: Vec<usize> = after.iter().map(|(path, _)| read_parquet(path).num_rows()).collect();
    rows.sort();
    assert_eq!(rows, [1, 150]);
    assert_eq!(lab.files_under("staging"), [] as [std::path::PathBuf; 0]);
    assert_eq!(terminal.leave(), Some(0));
}

fn checkpoints(lab: &Lab) -> usize {
    let of_state = lab.files_under("state");
    of_state.iter().filter(|path| path.extension().is_some_and(|end| end == "safetensors")).count()
}

/// A script finishes its step and writes a checkpoint, however long the step takes; asked twice, it
/// does not.
#[test]
fn a_second_ctrl_c_drops_the_checkpoint() {
    let lab = Lab::new();
    lab.write("script.rhai", format!("sweep(#{{{SLOW_STEPS}}}).run(\"out\");"));
    let start = |pause| {
        let run = lab.start(["script.rhai"]);
        run.wait_for("training");
        // Into the first step, as above.
        std::thread::sleep(Duration::from_secs(pause));
        run.signal(libc::SIGINT);
        run.wait_for("finishing the step");
        run
    };
    let run = start(1);
    let sent = Instant::now();
    run.signal(libc::SIGINT);
    let ended = run.end();
    let time = sent.elapsed();
    println!("a second Ctrl-C ended the program in {time:?}");
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    assert_soon("a second Ctrl-C", time, Duration::from_secs(1));
    assert_eq!(checkpoints(&lab), 0);

    // Where the machine is slow to give memory, the first step has not begun after a second: then
    // there is nothing to keep.
    for pause in [1, 4, 16] {
        let ended = start(pause).end();
        assert_eq!(ended.code, Some(130), "{}", ended.stderr);
        if pause == 16 || !ended.stderr.contains(", 0 images/s") {
            assert_eq!(checkpoints(&lab), 1, "{}", ended.stderr);
            break;
        }
        assert_eq!(checkpoints(&lab), 0, "{}", ended.stderr);
    }
}

#[test]
fn the_progress_bar_leaves_no_trace() {
    let lab = Lab::new();
    let mut terminal = Terminal::start(&lab);
    terminal.ask("let options = #{data: digits().take(400), model: resnet(#{width: 2}), lr: 0.05, batch: 10, epochs: 20};");
    let before = terminal.screen();
    terminal.begin("let r = train(options);");
    // The bar was there, with all that it is to tell.
    let bar = terminal.wait("images/s");
    assert!(bar.contains("/20 epochs, 0/1 runs, "), "{bar:?}");
    terminal.wait(" left");
    terminal.answer();
    assert_eq!(terminal.ask("1 + 1"), "2");
    let screen = terminal.screen();
    let new: Vec<&str> = screen.strip_prefix(&before).expect("nothing above is changed").lines().collect();
    let [typed, summary, question, answer, prompt] = new[..] else { panic!("{screen}") };
    assert_eq!(typed.trim(), "let r = train(options);");
    assert!(summary.starts_with("1 of 1 run ended in ") && summary.ends_with(" images/s"), "{screen}");
    assert_eq!([question, answer, prompt.trim_end()], ["kelvin> 1 + 1", "2", PROMPT.trim_end()], "{screen}");
    assert_eq!(terminal.leave(), Some(0));
}

#[test]
fn an_interrupted_script_exits_with_130() {
    let lab = Lab::new();
    let train = [LONG.to_owned(), format!("train(#{{{SLOW_STEPS}}})")];
    for script in train.iter().map(String::as_str).chain(["debug(\"training\"); loop {}"]) {
        for signal in [libc::SIGINT, libc::SIGTERM] {
            lab.write("script.rhai", script);
            let run = lab.start(["script.rhai"]);
            run.wait_for("training");
            if script.contains(SLOW_STEPS) {
                // Into the first step, as above.
                std::thread::sleep(Duration::from_secs(1));
            }
            let sent = Instant::now();
            run.signal(signal);
            let run = run.end();
            let time = sent.elapsed();
            println!("signal {signal} ended `{script:.30}…` in {time:?}");
            assert_eq!(run.code, Some(130), "{}", run.stderr);
            assert!(run.stderr.contains("interrupted"), "{}", run.stderr);
            assert_soon("Ctrl-C", time, Duration::from_secs(1));
        }
    }
}
