//! What terminals are given: nothing that acts on them but kelvin's own codes, and those only where
//! they are wanted; and odd terminals.

use std::fs::File;
use std::os::unix::ffi::OsStrExt;

use crate::support::{Lab, wait_until};
use crate::terminal::{CTRL_D, ENTER, PROMPT, TAB, Terminal};

const XTERM: Option<&str> = Some("xterm-256color");

/// What would set the terminal's title, erase the screen, hide text and turn it round.
const PAYLOAD: &str = "\x1b]0;pwn\x07\u{9b}2J\u{202e}";
/// The same in a script's text.
const WRITTEN: &str = r"\x1b]0;pwn\x07\u009b2J\u202e";
/// And as it is seen.
const SEEN: &str = r"\x1b]0;pwn\x07\u{9b}2J\u{202e}";

/// Fails where a part of the payload came through.
fn harmless(raw: &str) {
    // The line editor rings the bell itself.
    for part in ["\x1b]0", "pwn\x07", "\u{9b}", "\u{202e}", "\x1b[2J"] {
        assert!(!raw.contains(part), "{part:?} came through: {raw:?}");
    }
}

/// A table with a hostile column and text, and an import of its file.
fn received(lab: &Lab) {
    let script =
        format!("table(#{{\"{WRITTEN}\": [1, 2], text: [\"{WRITTEN}\", \"b\"]}}).write(\"t.parquet\");");
    let run = lab.script(&script);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
}

#[test]
fn values_names_and_errors_are_visible_at_the_prompt() {
    let mut lab = Lab::new();
    lab.set("NO_COLOR", "");
    received(&lab);
    let mut terminal = Terminal::start(&lab);
    for line in [
        "let t = parquet(\"t.parquet\");".to_owned(),
        format!("print(\"{WRITTEN}\")"),
        format!("debug(\"{WRITTEN}\")"),
        format!("let text = \"{WRITTEN}\"; text"),
        format!("[\"{WRITTEN}\"]"),
        format!("throw \"{WRITTEN}\""),
        format!("parquet(\"{WRITTEN}.parquet\")"),
        format!("results(\"{WRITTEN}\")"),
        format!("sgd(#{{\"{WRITTEN}\": 1}})"),
        format!("help(\"{WRITTEN}\")"),
        format!("plot(t).x(\"{WRITTEN}\").y(\"text\").show()"),
        format!("let m = #{{\"{WRITTEN}\": 1}}; m"),
    ] {
        let answer = terminal.ask(&line);
        // Within a list texts are shown as Rust writes them.
        let seen = answer.contains(SEEN) || answer.contains(r"\u{1b}]0;pwn\u{7}");
        assert!(line.ends_with(';') || line.contains("show()") || seen, "{line}: {answer}");
    }
    for line in [
        "t",
        "t.columns",
        "t.rows()[0]",
        "t.describe()",
        "t[\"nothing\"]",
        "t.filter(\"nothing > 1\")",
        ":vars",
    ] {
        let answer = terminal.ask(line);
        assert!(answer.contains("pwn") || line.contains("nothing"), "{line}: {answer}");
    }
    // A job speaks above the line that is typed.
    let sweep = "sweep(#{data: digits().take(200), model: linear(), lr: 0.1, batch: 10, epochs: 1})";
    terminal.ask(&format!("let job = {sweep}.start(\"{WRITTEN}\");"));
    terminal.ask("job.wait(); job");
    terminal.ask("jobs()");
    harmless(&terminal.raw());
    assert_eq!(terminal.leave(), Some(0));
}

#[test]
fn what_is_pasted_completed_or_recalled_does_not_act_on_the_terminal() {
    let mut lab = Lab::new();
    lab.set("NO_COLOR", "");
    lab.set("XDG_DATA_HOME", lab.path("share"));
    lab.write("share/kelvin/history", format!("#V2\n1 + 1\nlet old = \"{PAYLOAD}\";\n"));
    received(&lab);
    File::create(lab.path("a").with_file_name(std::ffi::OsStr::from_bytes(b"t\x1b]0;pwn\x07.parquet")))
        .unwrap();
    let mut terminal = Terminal::start(&lab);
    // The terminal itself says where a pasted text begins and ends. An escape character in it is a
    // key, as before.
    terminal.send("\x1b[200~let s = \"a\u{9b}2J\u{202e}\x07b\";\x1b[201~");
    assert_eq!(terminal.ask(""), "");
    assert!(terminal.ask("s").contains(r"a\u{9b}2J\u{202e}\x07b"));
    terminal.send("let typed = \"\u{202e}\";");
    assert_eq!(terminal.ask(""), "");
    // Names that cannot be typed as they are seen are not offered.
    assert_eq!(terminal.ask("let t = parquet(\"t.parquet\");"), "");
    terminal.send("t.");
    terminal.send(TAB);
    terminal.send(TAB);
    terminal.wait("columns");
    terminal.interrupt();
    terminal.send("parquet(\"t");
    terminal.send(TAB);
    terminal.wait(".parquet");
    terminal.interrupt();
    // Hints and recalled lines.
    terminal.send("let old");
    terminal.interrupt();
    for _ in 0..5 {
        terminal.send(crate::terminal::UP);
    }
    terminal.interrupt();
    terminal.send("\x12old");
    terminal.interrupt();
    let history = terminal.ask(":history");
    assert!(history.contains(r"a\u{9b}2J\u{202e}"), "{history}");
    harmless(&terminal.raw());
    assert_eq!(terminal.leave(), Some(0));
}

#[test]
fn commands_show_what_is_hidden_in_folders_and_scripts() {
    let lab = Lab::new();
    let sweep =
        "sweep(#{data: digits().take(200), model: linear(), lr: 0.1, batch: 10, epochs: 1}).run(\"out\");";
    lab.write("make.rhai", format!("// {PAYLOAD}\nlet a = arg(\"a\", \"\");\n{sweep}"));
    let argument = format!("a={PAYLOAD}");
    let run = lab.run(["make.rhai", "-D", &argument]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let wrong = format!("wrong{PAYLOAD}.rhai");
    lab.write(&wrong, format!("let a = sgd(#{{momentm: 1}}); // {PAYLOAD}"));
    std::fs::rename(lab.path("out"), lab.path(PAYLOAD)).unwrap();
    for (arguments, told) in [
        (vec!["show", PAYLOAD], SEEN),
        (vec!["ls", PAYLOAD], SEEN),
        (vec!["check", &wrong], SEEN),
        (vec![wrong.as_str()], SEEN),
        (vec!["compact", PAYLOAD], SEEN),
        (vec![PAYLOAD], SEEN),
        (vec!["doc", PAYLOAD], SEEN),
        (vec!["-e", "1", PAYLOAD], "cannot be used with"),
        (vec!["data", PAYLOAD], SEEN),
        (vec!["submit", PAYLOAD, "--mem", PAYLOAD], ""),
        (vec!["--json", "-e", "arg(\"a\")", "-D", &argument], "pwn"),
    ] {
        let mut terminal = Terminal::open(&lab, &arguments, XTERM, 100);
        let (_, raw) = terminal.all();
        harmless(&raw);
        // A terminal's lines may be broken anywhere by what frames them.
        assert!(raw.contains(told), "{arguments:?}: {raw}");
    }
}

#[test]
fn a_pipe_gets_the_bytes_as_they_are() {
    let lab = Lab::new();
    let run = lab.run(["-e", &format!("print(\"{WRITTEN}\\r\\n\")")]);
    assert_eq!(run.stdout, format!("{PAYLOAD}\r\n\n"));
    // What is said to people is read in logs, on terminals.
    let run = lab.run(["-e", &format!("throw \"{WRITTEN}\"")]);
    assert!(run.stderr.contains(SEEN) && !run.stderr.contains('\x1b'), "{:?}", run.stderr);
}

#[test]
fn colours_are_where_they_are_wanted() {
    let colored = |variables: &[(&'static str, &str)], kind: Option<&str>| {
        let mut lab = Lab::new();
        lab.unset("CLICOLOR_FORCE");
        variables.iter().for_each(|&(name, value)| lab.set(name, value));
        let (_, raw) = Terminal::open(&lab, &["-e", "nothing"], kind, 100).all();
        assert!(raw.contains("unknown variable"), "{raw}");
        raw.contains("\x1b[")
    };
    assert!(colored(&[("NO_COLOR", "")], XTERM));
    assert!(!colored(&[("NO_COLOR", "1")], XTERM));
    assert!(!colored(&[("NO_COLOR", "")], Some("dumb")));
    assert!(!colored(&[("NO_COLOR", "")], None));
    assert!(!colored(&[("NO_COLOR", ""), ("CLICOLOR", "0")], XTERM));
    let mut lab = Lab::new();
    lab.set("NO_COLOR", "");
    assert!(!lab.run(["-e", "nothing"]).stderr.contains('\x1b'));
    lab.set("CLICOLOR_FORCE", "1");
    assert!(lab.run(["-e", "nothing"]).stderr.contains("\x1b["));
}

#[test]
fn a_dumb_terminal_gets_lines_only() {
    let mut lab = Lab::new();
    lab.set("NO_COLOR", "");
    lab.set("PAGER", "sed s/^/paged:/");
    let mut terminal = Terminal::open(&lab, &[], Some("dumb"), 100);
    terminal.wait(PROMPT);
    for (line, answer) in [
        ("1 + 1", "2"),
        ("nothing", "unknown variable"),
        (":clear", ":clear"),
        ("digits().show(0)", "image 0, label 0"),
        ("plot(table(#{a: [1, 2], b: [1, 2]})).x(\"a\").y(\"b\").show()", "┌"),
        (
            "train(#{data: digits(), model: resnet(#{width: 2}), lr: 0.1, batch: 10, epochs: 1})",
            "1 of 1 run ended in",
        ),
        ("help()", "help(\"name\") explains a function"),
    ] {
        terminal.send(&format!("{line}\n"));
        terminal.wait(answer);
        terminal.wait(PROMPT);
    }
    terminal.send(CTRL_D);
    let (code, raw) = terminal.all();
    assert_eq!(code, Some(0));
    assert!(!raw.contains('\x1b') && !raw.contains("paged:"), "{raw:?}");
}

#[test]
fn long_help_goes_to_the_pager_of_whoever_sits_there() {
    let mut lab = Lab::new();
    lab.set("PAGER", "sed s/^/paged:/");
    let mut terminal = Terminal::start(&lab);
    for line in ["help()", "?"] {
        let shown = terminal.ask(line);
        assert!(shown.lines().last().unwrap().starts_with("paged:"), "{line}: {shown}");
    }
    // What fits on the screen stays there.
    assert!(!terminal.ask("help(\"digits\")").contains("paged:"));
    assert_eq!(terminal.leave(), Some(0));
    let piped = lab.run(["-e", "help()"]);
    assert!(piped.stdout.contains("explains a function") && !piped.stdout.contains("paged:"));
    // Without a pager, and with one that is not there, the text is printed.
    for pager in ["", "no-such-pager"] {
        lab.set("PAGER", pager);
        let mut terminal = Terminal::start(&lab);
        assert!(terminal.ask("help()").contains("help(\"name\") explains a function"), "{pager}");
        assert_eq!(terminal.leave(), Some(0));
    }
}

/// A sweep of which each step takes seconds, so that it is a while until it has stopped.
const SLOW: &str = "sweep(#{data: synthetic(#{n: 700, shape: [3, 32, 32]}), model: resnet(#{width: 24}), train: 600, test: 100, \
    lr: 0.01, batch: 600, epochs: 10})";

#[test]
fn whoever_stopped_a_job_is_not_asked_again() {
    let lab = Lab::new();
    let mut terminal = Terminal::start(&lab);
    assert_eq!(terminal.ask(&format!("let job = {SLOW}.start(\"slow\");")), "");
    // Then it is in the middle of a step.
    wait_until("the job to train", || !terminal.ask("job.progress.images_per_second").starts_with("0.0"));
    assert_eq!(terminal.ask("job.stop()"), "");
    terminal.send(":quit");
    terminal.send(ENTER);
    assert_eq!(terminal.all().0, Some(0));
    assert!(!terminal.raw().contains("(y/N)"), "{}", terminal.screen());

    // Of two jobs, the one that goes on is asked about.
    let mut terminal = Terminal::start(&lab);
    terminal.ask(&format!(
        "let first = {SLOW}.start(\"first\"); let second = {SLOW}.start(\"second\"); first.stop()"
    ));
    terminal.send(CTRL_D);
    terminal.wait("1 job is running; leave after its checkpoints? (y/N) ");
    terminal.send("y");
    terminal.send(ENTER);
    assert_eq!(terminal.end(), Some(0));
}

#[test]
fn a_history_that_is_none_is_left_alone() {
    let mut lab = Lab::new();
    lab.set("XDG_DATA_HOME", lab.path("share"));
    let file = lab.write("share/kelvin/history", "");
    let try_it = |told: &str| {
        let mut terminal = Terminal::open(&lab, &[], XTERM, 100);
        terminal.wait(told);
        terminal.wait(PROMPT);
        assert_eq!(terminal.ask("40 + 2"), "42");
        assert_eq!(terminal.leave(), Some(0));
    };
    // A binary file keeps what is in it.
    let binary = [b"#V2\n1 + 1\n".as_slice(), &[0xff, 0xfe, 0, 1, b'\n']].concat();
    std::fs::write(&file, &binary).unwrap();
    try_it("expected lines of text");
    assert_eq!(std::fs::read(&file).unwrap(), binary);
    // A sparse one is not read.
    File::create(&file).unwrap().set_len(20_000_000_000).unwrap();
    try_it("expected a history of at most 64 MB, found 20000 MB");
    // Nor is one that waits for a writer.
    std::fs::remove_file(&file).unwrap();
    let name = std::ffi::CString::new(file.as_os_str().as_bytes()).unwrap();
    // SAFETY: the name is a C string that outlives the call.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    try_it("expected a file with the history of the prompt");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    try_it("expected a file with the history of the prompt");
}

#[test]
fn narrow_windows_and_long_lines_are_no_trouble() {
    let lab = Lab::new();
    for (kind, columns) in [(XTERM, 1), (XTERM, 2), (None, 100), (Some(""), 100), (Some("unknown"), 7)] {
        let mut terminal = Terminal::open(&lab, &[], kind, columns);
        terminal.wait(PROMPT);
        for line in [
            "let t = table(#{a: [1, 2], b: [\"x\", \"y\"]}); t",
            "[1, 2, 3, 4]",
            "nothing",
            "plot(t).x(\"a\").y(\"a\").show()",
        ] {
            terminal.ask(line);
        }
        terminal.send("t.");
        terminal.send(TAB);
        terminal.send(TAB);
        // Out of a list that is longer than the window.
        terminal.send("q");
        terminal.interrupt();
        assert_eq!(terminal.leave(), Some(0), "{kind:?} {columns}");
    }
    let mut terminal = Terminal::start(&lab);
    let long = "x".repeat(100_000);
    terminal.send(&format!("\x1b[200~let s = \"{long}\";\x1b[201~"));
    terminal.ask("");
    assert_eq!(terminal.ask("s.len"), "100000");
    // Typed, not pasted.
    terminal.send(&format!("let s = \"{}\";", &long[..20_000]));
    terminal.ask("");
    assert_eq!(terminal.ask("s.len"), "20000");
    assert_eq!(terminal.leave(), Some(0));
}
