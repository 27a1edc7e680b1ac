//! A day at the prompt: jobs beside the line that is typed, help, completion, commands, modules,
//! files.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::support::{Lab, assert_soon, wait_until};
use crate::terminal::{CTRL_D, ENTER, PROMPT, RIGHT, TAB, Terminal};

/// A sweep of two runs that ends within seconds, and one of hours.
const SHORT: &str = "let short = sweep(#{data: digits().take(200), model: resnet(#{width: 1}), train: 100, \
    test: 50, lr: 0.05, batch: 10, epochs: 2, seed: 1..=2});";
const LONG: &str = "let long = sweep(#{data: digits(), model: resnet(#{width: 8}), lr: 0.05, batch: [8, 32], epochs: 1000});";

/// Waits until a job's folder has a run that trains.
fn trains(terminal: &mut Terminal) {
    wait_until("the job to train", || !terminal.ask("job.progress.images_per_second").starts_with("0.0"));
}

#[test]
fn a_sweep_trains_in_the_background_while_the_prompt_answers() {
    let lab = Lab::new();
    let mut terminal = Terminal::start(&lab);
    terminal.ask(LONG);
    terminal.ask("let job = long.start(\"long\");");
    trains(&mut terminal);
    let mut times: Vec<Duration> = (0..20)
        .map(|_| {
            let asked = Instant::now();
            assert_eq!(terminal.ask("1 + 1"), "2");
            asked.elapsed()
        })
        .collect();
    times.sort();
    println!("1 + 1 while a sweep trains: median {:?}, longest {:?}", times[10], times[19]);
    assert_soon("the median answer", times[10], Duration::from_millis(100));
    // An interrupt is not for the job.
    terminal.begin("print(\"begun\"); loop {}");
    terminal.wait("begun");
    let (answer, time) = terminal.interrupt();
    assert!(answer.contains("interrupted"), "{answer}");
    assert_soon("Ctrl-C", time, Duration::from_millis(400));
    let table = terminal.ask("jobs().select([\"job\", \"dir\", \"status\", \"runs\"])");
    assert!(table.contains("    1  long  training      2"), "{table}");
    assert_eq!(terminal.ask("job.table().len"), "0");
    let error = terminal.ask("long.start(\"long\")");
    assert!(error.contains("job 1 trains in long already"), "{error}");

    // Leaving asks first.
    terminal.send(CTRL_D);
    terminal.wait("1 job is running; leave after its checkpoints? (y/N) ");
    terminal.send("n");
    terminal.send(ENTER);
    terminal.answer();
    terminal.begin("job.wait()");
    let (answer, _) = terminal.interrupt();
    assert!(answer.contains("interrupted"), "{answer}");
    assert_eq!(terminal.ask("job.progress.status"), "training");
    assert_eq!(terminal.ask("job.stop()"), "");
    terminal.wait("job 1 (long): stopped after");
    terminal.wait("goes on from its checkpoints");
    // The line comes first, since whoever waits may end the program.
    assert_eq!(terminal.ask("job.wait(); job.progress.status"), "stopped");
    assert_eq!(
        lab.files_under("state")
            .iter()
            .filter(|path| path.extension().is_some_and(|end| end == "safetensors"))
            .count(),
        2
    );

    // A new job goes on, and ends with the program, which writes its checkpoints.
    assert_eq!(terminal.ask("let job = long.start(\"long\");"), "");
    trains(&mut terminal);
    terminal.send(CTRL_D);
    terminal.wait("(y/N) ");
    terminal.send("y");
    terminal.send(ENTER);
    assert_eq!(terminal.end(), Some(0));
    assert_eq!(lab.files_under("metrics").len(), 0);
}

/// A connection that breaks is no reason to lose what was trained since the last checkpoint.
#[test]
fn a_terminal_that_closes_leaves_checkpoints() {
    for call in [".run(\"out\")", ".start(\"out\")"] {
        let lab = Lab::new();
        let mut terminal = Terminal::start(&lab);
        terminal.begin(&format!(
            "let j = sweep(#{{ data: digits(), model: resnet(#{{ width: 4 }}), lr: [0.05, 0.1], batch: 8, epochs: 5000 }}){call}"
        ));
        // What no epoch was trained of has nothing to lose.
        let begun = |path: &PathBuf| fs::read_to_string(path).is_ok_and(|text| text.contains("\"epoch\":{"));
        let trained = || lab.files_under("state").iter().filter(|path| begun(path)).count();
        wait_until("an epoch of both runs", || trained() == 2);
        assert!(terminal.hang_up().is_some());
        let checkpoints = lab.files_under("state").into_iter();
        let checkpoints = checkpoints.filter(|path| path.extension().is_some_and(|end| end == "safetensors"));
        assert_eq!(checkpoints.count(), 2, "{call}");
    }
}

/// What a job says stands above the line that is being typed, which stays as it is.
#[test]
fn messages_do_not_garble_the_line_that_is_typed() {
    let lab = Lab::new();
    let mut terminal = Terminal::start(&lab);
    terminal.ask(SHORT);
    terminal.ask("let job = short.start(\"short\");");
    terminal.send("let typed = 40 + ");
    terminal.wait("job 1 (short): ended after");
    terminal.wait("2 of 2 runs done");
    terminal.wait("let typed = 40 + ");
    assert_eq!(terminal.ask("2;"), "");
    assert_eq!(terminal.ask("typed"), "42");
    let screen = terminal.screen();
    let lines: Vec<&str> = screen.lines().collect();
    let said = lines.iter().position(|line| line.starts_with("job 1 (short): ended")).expect(&screen);
    assert_eq!(lines[said + 1], format!("{PROMPT}let typed = 40 + 2;"), "{screen}");
    // What it trained is there, and the same rows as those of a script.
    assert_eq!(terminal.ask("job.wait().len"), "4");
    let script = lab.script(&format!(
        "{SHORT} print(short.run(\"script\").select([\"run_id\", \"epoch\", \"train_loss\"]));"
    ));
    assert_eq!(script.code, Some(0), "{}", script.stderr);
    let rows = terminal.ask("job.table().select([\"run_id\", \"epoch\", \"train_loss\"])");
    assert_eq!(rows, script.stdout.trim_end());
    assert_eq!(terminal.leave(), Some(0));
}

#[test]
fn watching_a_job_evaluates_again_as_runs_end() {
    let lab = Lab::new();
    let mut terminal = Terminal::start(&lab);
    terminal.ask(SHORT);
    terminal.ask("let job = short.start(\"short\", #{jobs: 1});");
    let answer =
        terminal.ask("watch(job, || job.table().group([], [\"count(distinct run_id) as finished\"]))");
    assert!(answer.contains("job 1: ended after") && answer.contains("finished"), "{answer}");
    assert!(answer.contains("\n       2\n"), "{answer}");
    assert_eq!(terminal.leave(), Some(0));
}

/// A script waits for the jobs that it started.
#[test]
fn a_script_waits_for_its_jobs_and_stops_them_when_it_is_interrupted() {
    let lab = Lab::new();
    let run = lab.script(&format!("{SHORT} short.start(\"short\");"));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(
        run.stderr.contains("job 1 (short): ended after") && run.stderr.contains("2 of 2 runs done"),
        "{}",
        run.stderr
    );
    assert_eq!(lab.files_under("metrics").len(), 2);
    for signal in [libc::SIGINT, libc::SIGTERM] {
        lab.write("script.rhai", format!("{LONG} let job = long.start(\"long\"); debug(\"begun\"); loop {{ if job.progress.images_per_second > 0.0 {{ debug(\"trains\"); break; }} }}"));
        let run = lab.start(["script.rhai"]);
        run.wait_for("trains");
        run.signal(signal);
        let run = run.end();
        assert_eq!(run.code, Some(130), "{}", run.stderr);
        assert!(run.stderr.contains("stopped after"), "{}", run.stderr);
    }
}

#[test]
fn help_is_asked_for_with_a_question_mark() {
    let lab = Lab::new();
    let mut terminal = Terminal::start(&lab);
    for question in ["?digits", "digits?", ":doc digits", "help(\"digits\")"] {
        let help = terminal.ask(question);
        assert!(
            help.contains("digits() -> Dataset") && help.contains("handwritten digits"),
            "{question}: {help}"
        );
        assert!(help.contains("Example:"), "{question}: {help}");
    }
    let sgd = terminal.ask("?sgd");
    assert!(sgd.contains("weight_decay") && sgd.contains("Source: "), "{sgd}");
    assert!(terminal.ask("?temperature").contains("temperature (column)"));
    assert!(terminal.ask("?lr").contains("the initial learning rate"));
    assert!(terminal.ask("?language").contains("Rhai"));
    assert!(terminal.ask("?fit_gpa").contains("did you mean `fit_gap`?"));
    assert!(terminal.ask(":help").contains(":save FILE"));
    assert_eq!(terminal.leave(), Some(0));
}

#[test]
fn tab_completes_what_may_stand_there() {
    let lab = Lab::new();
    lab.write("figures/plot.rhai", "1");
    let mut terminal = Terminal::start(&lab);
    terminal.ask("let runs = table(#{lr: [0.1], test_loss: [1.0], test_accuracy: [0.5]});");
    for (typed, wanted) in [
        ("swe", "sweep"),
        ("runs.des", "runs.describe"),
        ("runs.filter(\"test_l", "runs.filter(\"test_loss"),
        ("sweep(#{ optim", "sweep(#{ optimizer"),
        ("sweep(#{ sampling: \"ra", "sweep(#{ sampling: \"random"),
        ("parquet(\"figures/pl", "parquet(\"figures/plot.rhai"),
        (":hist", ":history"),
        (":load figures/pl", ":load figures/plot.rhai"),
        ("import \"pap", "import \"paper"),
        ("?fit_g", "?fit_gap"),
    ] {
        terminal.send(typed);
        terminal.wait(typed.rsplit(['"', '.', '/']).next().unwrap());
        let pressed = Instant::now();
        terminal.send(TAB);
        let rest = &wanted[typed.len()..];
        terminal.wait(rest);
        let time = pressed.elapsed();
        println!("Tab after `{typed}` in {time:?}");
        assert_soon("completion", time, Duration::from_millis(250));
        terminal.interrupt();
    }
    assert_eq!(terminal.leave(), Some(0));
}

#[test]
fn a_pasted_block_runs_once_and_comes_back_as_one() {
    let lab = Lab::new();
    let mut terminal = Terminal::start(&lab);
    let lines: Vec<String> = (0..38).map(|line| format!("    total += {line};")).collect();
    let block = format!("let total = 0;\nif true {{\n{}\n}}", lines.join("\n"));
    terminal.send(&format!("\x1b[200~{block}\x1b[201~"));
    terminal.wait("total += 37;");
    terminal.ask("");
    assert_eq!(terminal.ask("total"), "703");
    let history = terminal.ask(":history");
    assert!(history.contains("   2  total") || history.contains("total += 37"), "{history}");
    assert_eq!(terminal.leave(), Some(0));
}

#[test]
fn commands_of_the_prompt() {
    let mut lab = Lab::new();
    let config = lab.write("config/kelvin/startup.rhai", "let from_startup = 7; fn doubled(x) { 2 * x }");
    lab.set("XDG_CONFIG_HOME", config.parent().unwrap().parent().unwrap());
    let mut terminal = Terminal::start(&lab);
    assert_eq!(terminal.ask("doubled(from_startup)"), "14");
    assert_eq!(terminal.ask("let n = 3;"), "");
    assert_eq!(terminal.ask("fn twice(x) { x }"), "");
    assert!(terminal.ask("undefined_name").contains("unknown variable"));
    assert_eq!(terminal.ask("fn twice(x) { 2 * x }"), "");
    assert_eq!(terminal.ask("twice(n)"), "6");
    assert_eq!(terminal.ask("ans + 1"), "7");
    let vars = terminal.ask(":vars");
    assert!(vars.contains("from_startup  integer  7") && vars.contains("n             integer  3"), "{vars}");
    assert_eq!(terminal.ask(":type table(#{a: [1]})"), "Table");
    let time = terminal.ask(":time train(#{data: digits().take(200), model: linear(), lr: 0.1, batch: 10, epochs: 2, train: 100, test: 50})");
    assert!(time.contains("wall ") && time.contains(" images/s, peak memory "), "{time}");
    assert!(terminal.ask(":save ../session.rhai").contains("--allow-write"));
    assert!(terminal.ask(":sav x").contains("did you mean `save`?"));
    lab.write("more.rhai", "let loaded = n + 1;");
    assert_eq!(terminal.ask(":load more.rhai"), "");
    assert_eq!(terminal.ask("loaded"), "4");
    assert_eq!(terminal.ask(":time loaded + 1").lines().next(), Some("5"));
    // What an input that failed half way defined is not in the script: what uses it is left out.
    assert!(terminal.ask("let half = 1; throw \"undefined\"").contains("undefined"));
    assert_eq!(terminal.ask("half + 1"), "2");
    let saved = terminal.ask(":save session.rhai");
    assert!(saved.contains("session.rhai: ") && saved.contains("left out: half + 1"), "{saved}");
    let history = terminal.ask(":history");
    assert!(history.contains("let n = 3;") && history.contains("undefined_name"), "{history}");
    assert!(terminal.ask("?").contains("help(\"name\") explains a function"));
    assert!(terminal.ask("import \"paper\" as paper;").is_empty());
    assert!(terminal.ask("?paper::chosen_scale").contains("paper::chosen_scale()"));
    terminal.send("exit");
    terminal.send(ENTER);
    assert_eq!(terminal.end(), Some(0));
    // What was saved runs; what failed is not in it.
    let saved = std::fs::read_to_string(lab.path("session.rhai")).unwrap();
    assert!(!saved.contains("undefined_name") && saved.matches("fn twice").count() == 1, "{saved}");
    lab.write("session.rhai", format!("{saved}\nprint(ans + loaded);"));
    let run = lab.run(["session.rhai"]);
    assert_eq!((run.code, run.stdout.lines().last()), (Some(0), Some("9")), "{}\n{saved}", run.stderr);
}

#[test]
fn pictures_are_drawn_in_every_terminal_s_way() {
    for (name, begins) in [("kitty", "\x1b_Ga=T"), ("iterm2", "\x1b]1337;File="), ("sixel", "\x1bP")] {
        let mut lab = Lab::new();
        lab.set("KELVIN_GRAPHICS", name);
        let mut terminal = Terminal::start(&lab);
        terminal.ask("digits().show(0)");
        assert!(terminal.raw().contains(begins), "{name}");
        assert_eq!(terminal.leave(), Some(0));
    }
    // Without, with characters: here without colours.
    let lab = Lab::new();
    let mut terminal = Terminal::start(&lab);
    let shown = terminal.ask("digits().show(0)");
    assert!(shown.contains("%%") && shown.contains("image 0, label 0"), "{shown}");
    assert_eq!(terminal.leave(), Some(0));
}

#[test]
fn modules_at_the_prompt_are_read_again_when_they_change() {
    let lab = Lab::new();
    lab.write("own.rhai", "fn answer() { 41 }");
    let mut terminal = Terminal::start(&lab);
    assert_eq!(terminal.ask("import \"own\" as own;"), "");
    assert_eq!(terminal.ask("own::answer()"), "41");
    assert_eq!(terminal.ask("fn more() { own::answer() + 1 }"), "");
    lab.write("own.rhai", "fn answer() { 42 }\nfn broken(x) { x.nothing() }");
    assert_eq!(terminal.ask("more()"), "43");
    let error = terminal.ask("own::broken(1)");
    assert!(error.contains("own.rhai:2:") && error.contains("called from <input 5>:1"), "{error}");
    assert!(terminal.ask(":reload").contains("own"));
    assert_eq!(terminal.ask("own::answer()"), "42");
    assert_eq!(terminal.leave(), Some(0));
}

#[test]
fn errors_in_functions_of_earlier_inputs_find_their_place() {
    let lab = Lab::new();
    let mut terminal = Terminal::start(&lab);
    assert_eq!(terminal.ask("let n = 3;"), "");
    assert_eq!(terminal.ask("fn f() { n }"), "");
    let error = terminal.ask("f()");
    for part in ["fn f(n) { … }", "<input 2>:1:10", "fn f() { n }", "called from <input 3>:1: f()"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert_eq!(terminal.leave(), Some(0));
}

#[test]
fn values_are_shown_well() {
    let lab = Lab::new();
    let mut terminal = Terminal::start(&lab);
    assert_eq!(terminal.ask("#{lr: 0.1, name: \"a\"}"), "#{ lr: 0.1, name: \"a\" }");
    let map = terminal.ask("#{values: [1, 2, 3], inner: #{text: \"a long text that fills the line with words\", more: \"and another one like it, which makes it longer than a line\"}}");
    assert!(map.starts_with("#{\n  inner: #{\n    more: "), "{map}");
    // Longer than the screen: the pager shows it, where there is one.
    let array = terminal.ask("[1.5, 2.25]");
    assert_eq!(array, "[1.5, 2.25]");
    let sweep =
        terminal.ask("sweep(#{data: digits(), model: linear(), lr: [0.1, 0.2], batch: 8, epochs: 1})");
    assert!(sweep.contains("sweep of 2 runs"), "{sweep}");
    assert_eq!(terminal.leave(), Some(0));
}

#[test]
fn the_grey_hint_of_the_history_is_taken_with_the_right_arrow() {
    let mut lab = Lab::new();
    lab.unset("NO_COLOR");
    let mut terminal = Terminal::start(&lab);
    assert_eq!(terminal.ask("let temperature = 0.1 / 32;"), "");
    terminal.send("let temp");
    terminal.wait("erature = 0.1 / 32;");
    terminal.send(RIGHT);
    terminal.ask("");
    let screen = terminal.screen();
    assert_eq!(screen.matches("let temperature = 0.1 / 32;").count(), 2, "{screen}");
    assert_eq!(terminal.leave(), Some(0));
}

#[test]
fn values_on_standard_output_as_json() {
    let lab = Lab::new();
    let run =
        lab.run(["--json", "-e", "#{lr: 0.1, runs: table(#{a: [1, ()], b: [0.5, 1.0/0.0]}), none: ()}"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let value: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let wanted = serde_json::json!({
        "lr": 0.1, "none": null, "runs": [{"a": 1, "b": 0.5}, {"a": null, "b": null}],
    });
    assert_eq!(value, wanted);
}

#[test]
fn the_command_line_checks_completes_and_documents() {
    let lab = Lab::new();
    lab.write("bad.rhai", "let runs = swep(#{lr: 0.1});\nlet plan = sweep(#{data: digits(), bacth: 8});");
    let run = lab.run(["check", "bad.rhai"]);
    assert_eq!(run.code, Some(1));
    for part in [
        "did you mean `sweep`?",
        "bad.rhai:1:12",
        "did you mean `batch`?",
        "bad.rhai:2:36",
        "this plan is not used",
    ] {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
    lab.write("good.rhai", "let plan = sweep(#{data: digits(), model: linear(), lr: 0.1, batch: 8, epochs: 1});\nplan.run(\"out\");");
    let run = lab.run(["check", "good.rhai"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), "good.rhai: nothing found\n"));
    assert!(!lab.path("out").exists(), "a check trains nothing");

    let run = lab.run(["completions", "bash"]);
    assert!(run.code == Some(0) && run.stdout.contains("_kelvin()"), "{}", run.stderr);

    let run = lab.run(["doc", "reference"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let reference = std::fs::read_to_string(lab.path("reference/reference.md")).unwrap();
    assert!(
        reference.contains("### fit_gap")
            && reference.contains("## Topics")
            && reference.contains("Example:")
    );
    let definitions = std::fs::read_to_string(lab.path("reference/kelvin.d.rhai")).unwrap();
    assert!(
        definitions.contains("fn fit_gap(") && definitions.contains("/// Fits Eq. 1"),
        "{definitions:.600}"
    );
}

#[test]
fn scripts_write_below_the_current_folder_unless_they_may() {
    let lab = Lab::new();
    let outside = tempfile::tempdir().unwrap();
    let file = outside.path().join("t.csv");
    let script = format!("table(#{{a: [1]}}).write(\"{}\");", file.display());
    let run = lab.script(&script);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("--allow-write") && !file.exists(), "{}", run.stderr);
    let run = lab.run(["--allow-write", outside.path().to_str().unwrap(), "script.rhai"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(file.exists());
}

/// Requests beyond all measure are errors, not crashes.
#[test]
fn huge_requests_are_errors() {
    const HUGE: &str = "1000000000000";
    let lab = Lab::new();
    for request in [
        "synthetic(#{n: HUGE})",
        "synthetic(#{n: 10, shape: [1, HUGE, HUGE]})",
        "mlp(#{hidden: [HUGE]})",
        "resnet(#{width: HUGE})",
        "[].pad(HUGE, 0)",
        "let a = []; a.pad(HUGE, 0); a.len",
        "let s = \"\"; s.pad(HUGE, 'x'); s.len",
        "blob(HUGE)",
        "digits().subset(#{n: HUGE})",
        "digits().sample(#{train: HUGE, test: 1})",
        "sweep(#{data: digits(), model: linear(), lr: 0.1, batch: 8, epochs: 1, seed: 1..=HUGE})",
        "curve_fit(|x, p| p[0], [1.0, 2.0], [1.0, 2.0], [].pad(HUGE, 1.0))",
        "fit_gap(table(#{temperature: [1.0, 2.0, 3.0, 4.0], gap: [4.0, 3.0, 2.0, 1.0]}), #{bootstrap: HUGE})",
    ] {
        let run = lab.script(&request.replace("HUGE", HUGE));
        assert_eq!(run.code, Some(1), "{request}: {}", run.stderr);
        assert!(!run.stderr.contains("panicked"), "{request}: {}", run.stderr);
        assert_soon(request, run.time, Duration::from_secs(10));
    }
}

/// A line with every number replaced, and spaces made one: the last bits of a processor change
/// numbers, and those the columns.
fn shape(line: &str) -> String {
    let line = line.replace("∞ (the data show no decay)", "0 ± 0");
    let mut out = String::new();
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let begins_number =
            c.is_ascii_digit() || (c == '-' && chars.peek().is_some_and(char::is_ascii_digit));
        if begins_number {
            while chars.peek().is_some_and(|c| c.is_ascii_digit() || ".,e-".contains(*c)) {
                chars.next();
            }
            out.push('#');
        } else if !(c == ' ' && out.ends_with(' ')) {
            out.push(c);
        }
    }
    out.trim().to_owned()
}

/// What of a screen is compared: neither the points of a plot, whose places are numbers, nor what a
/// job says when it likes.
fn comparable(text: &str) -> Vec<String> {
    let of_plot = |line: &str| line.contains(['│', '┤', '┌', '└', '×']) || line.trim().is_empty();
    text.lines().filter(|line| !of_plot(line) && !line.starts_with("job 1 (")).map(shape).collect()
}

#[test]
fn the_first_session_of_the_docs_is_what_the_prompt_shows() {
    let text = std::fs::read_to_string(crate::support::checkout().join("docs/first-session.md")).unwrap();
    let blocks: Vec<&str> =
        text.split("```").skip(1).step_by(2).map(|block| block.trim_start_matches("text\n")).collect();
    let transcript = blocks.concat();
    let lab = Lab::new();
    let mut terminal = Terminal::start(&lab);
    let mut inputs = 0;
    for part in transcript.split(PROMPT).skip(1) {
        let (input, wanted) = part.split_once('\n').unwrap_or((part, ""));
        inputs += 1;
        if input == ":quit" {
            terminal.send(":quit");
            terminal.send(ENTER);
            break;
        }
        let answer = terminal.ask(input);
        assert_eq!(comparable(&answer), comparable(wanted), "{input}\n{answer}");
        assert_eq!(wanted.contains('┌'), answer.contains('┌'), "{answer}");
    }
    assert_eq!(inputs, 16);
    assert_eq!(terminal.end(), Some(0));
    assert!(lab.path("results/first/gap.svg").is_file() && lab.path("first.rhai").is_file());
}
