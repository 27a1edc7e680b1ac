//! What a script or a paste does that would end the program, lose a training or eat the machine.

use std::process::{Command, Stdio};

use crate::support::{Lab, Run};
use crate::terminal::Terminal;

/// A short training, which says that it is done.
const SHORT: &str = "train(#{data: digits().take(200), model: linear(), lr: 0.1, batch: 20, epochs: 3})";

/// Runs a script that must end well, and returns what it printed.
fn prints(script: &str) -> String {
    let run = Lab::new().script(script);
    assert_eq!(run.code, Some(0), "{script}: {}", run.stderr);
    run.stdout.trim().to_owned()
}

/// Runs a script that must fail before it prints anything.
fn refused(script: &str) -> Run {
    let run = Lab::new().script(script);
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{script}: {}", run.stderr);
    run
}

#[test]
fn names_are_known_before_anything_trains() {
    for (script, wanted) in [
        (format!("print(1); r = {SHORT};"), "unknown variable `r`; define it first: let r = …;"),
        (format!("print(1); let r = {SHORT}; print(rr.epochs);"), "unknown variable `rr`"),
        (
            format!("print(1); let r = {SHORT}; if r.epochs.len > 100 {{ prnt(r); }}"),
            "unknown function `prnt`",
        ),
        (format!("print(1); let r = {SHORT}; r.epochs.fliter(\"epoch = 1\");"), "did you mean `filter`?"),
        // In a function that is called, also by its name and from another one.
        (format!("let n = 3; fn f() {{ n }} fn g() {{ f() }} print(1); let r = {SHORT}; g();"), "fn f(n)"),
        ("print(1); [1].map(|x| x + y);".to_owned(), "unknown variable `y`"),
        ("import \"paper\" as paper; print(1); paper::two();".to_owned(), "`paper::two` takes 1 argument"),
        ("let a = [1]; print(1); b[0] = 2;".to_owned(), "unknown variable `b`"),
        ("let a = #{}; print(1); b.c += 2;".to_owned(), "unknown variable `b`"),
    ] {
        let found = refused(&script).stderr;
        assert!(found.contains(wanted), "{script}: {found}");
    }
    // In a module's function.
    let lab = Lab::new();
    lab.write("own.rhai", "fn two() { nothing_at_all }");
    let run = lab.script(&format!("import \"own\" as own; print(1); let r = {SHORT}; own::two();"));
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{}", run.stderr);
    assert!(run.stderr.contains("unknown variable `nothing_at_all`") && run.stderr.contains("own.rhai:1:12"));
}

/// What the check before must let through.
#[test]
fn programs_that_run_are_not_refused() {
    for script in [
        "print(1); fn never() { nothing_at_all } ",
        "print(1); try { nothing_at_all } catch (e) { e.message.len() }",
        "fn f() { nothing_at_all } print(1); try { f() } catch {}",
        "if is_def_var(\"x\") { print(x) } else { print(1) }",
        "eval(\"let x = 1\"); print(x);",
        "let m = #{ f: |x| x }; m.g = |x| 2 * x; m[\"h\"] = |x| x; print(m.f(1)); m.g(1); m.h(1);",
        "fn make() { #{ f: |x| x } } let m = make(); print(m.f(1));",
        "fn twice(x) { 2 * x } print([1].map(twice).len); let f = Fn(\"twice\"); f.call(1);",
        "let n = 1; let f = |x| [x].map(|y| y + n)[0]; print(f.call(0));",
        "const N = 1; fn f() { global::N } print(f());",
        "import \"paper\" as paper; print(paper::two(1.0));",
        "let m = #{}; for i in 0..2 { m[\"f\" + i] = |x| x; } print(m.f1(1));",
        "import \"own\" as own; print(own::one());",
        "let s = 0; for (x, i) in [1] { s += x + i; } print(s); while false { let y = s; y += 1; }",
        "fn add(n) { this += n; } let x = 0; x.add(1); print(x);",
        "switch 1 { 1 => print(1), _ => () }; let y = if true { 1 } else { 2 };",
    ] {
        let lab = Lab::new();
        lab.write("own.rhai", "fn one() { 1 }\nfn never() { nothing_at_all }");
        // As something that trains, so that functions are looked at, too.
        let run = lab.script(&format!("{script}\nif false {{ {SHORT}; }}"));
        assert_eq!(run.code, Some(0), "{script}: {}", run.stderr);
        assert!(run.stdout.starts_with('1'), "{script}: {}", run.stdout);
    }
}

/// Deep values are right, or an error that can be caught; the program goes on.
#[test]
fn deep_values_do_not_end_the_program() {
    let arrays = |levels: u32| format!("let a = []; for i in 0..{levels} {{ a = [a]; }}");
    let moved = |levels: u32| format!("let a = [[]]; for i in 0..{levels} {{ a.push([a.pop()]); }}");
    let closures =
        |levels: u32| format!("let f = || 0; for i in 0..{levels} {{ let g = f; f = || g.call(); }}");
    for script in [
        format!("{} print(`${{a}}`.len()); a.to_string(); a.to_debug(); print(a);", arrays(1_500)),
        format!("{} let b = a; a == b; a != [b]; [a].contains(b); [a].index_of(b);", moved(20_000)),
        format!("{} let b = a; print(a == b);", moved(60_000)),
        format!("{} f = 1;", closures(60_000)),
        format!("{} f = 1;", closures(1_000_000)),
        format!("{} let b = [f]; b = #{{ c: b }}; b.c = 1;", closures(30_000)),
        format!("{} f.to_string(); [f].to_debug();", closures(20_000)),
        format!("{} let g = f.curry(f); print(type_of(g));", closures(20_000)),
        format!("{} switch a {{ 1 => 2, _ => 3 }}", moved(20_000)),
        "let m = #{}; for i in 0..1500 { m = #{ m: m }; } m.to_json(); m.to_string(); m == m;".to_owned(),
        "let m = #{ x: #{} }; for i in 0..30000 { m.x = #{ x: m.remove(\"x\") }; } m == m;".to_owned(),
        format!("{} table([#{{ a: a }}]);", moved(20_000)),
        format!("{} sweep(#{{ lr: a }});", moved(20_000)),
        format!("{} throw a;", moved(20_000)),
    ] {
        // What is dropped when the script ends is dropped, too.
        let found = prints(&format!(
            "fn deep() {{ {script}; }} try {{ deep(); }} catch (e) {{ type_of(e); }} print(\"on\");"
        ));
        assert!(found.ends_with("on"), "{script}: {found}");
    }
    for show in ["-e", "--json -e"] {
        let lab = Lab::new();
        let script = format!("{} a", moved(5_000));
        let run = lab.run(show.split(' ').map(str::to_owned).chain([script]));
        assert_eq!(run.code, Some(0), "{show}: {}", run.stderr);
        assert!(run.stdout.contains("[["), "{show}: {}", run.stdout);
    }
}

#[test]
fn values_that_grow_deeper_and_deeper_end_with_an_error() {
    for script in [
        "let a = []; loop { a = [a]; }",
        "let a = [[]]; loop { a.push([a.pop()]); }",
        "let f = || 0; loop { let g = f; f = || g.call(); }",
        "let m = #{}; loop { m = #{ m: m }; }",
        "let f = || 0; loop { f = wrap(f); }",
    ] {
        let wrap = "fn wrap(f) { || f.call() }";
        let found = prints(&format!("{wrap} try {{ {script} }} catch (e) {{ print(e); }} print(\"on\");"));
        assert!(found.contains("a value is deeper than") && found.ends_with("on"), "{script}: {found}");
    }
}

#[test]
fn arguments_that_no_script_asks_for_are_refused_before_it_runs() {
    let lab = Lab::new();
    lab.write("own.rhai", "fn n() { arg(\"rounds\", 1) }");
    let script = "import \"own\" as own; print(arg(\"epochs\", 3)); own::n();";
    lab.write("a.rhai", script);
    let run = lab.run(["a.rhai", "-D", "epohcs=7"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{}", run.stderr);
    assert!(run.stderr.contains("-D epohcs=7 is not asked for; did you mean `epochs`?"), "{}", run.stderr);
    // Of a module, and where names are made while it runs.
    assert_eq!(lab.run(["a.rhai", "-D", "rounds=2", "-D", "epochs=4"]).stdout.trim(), "4");
    lab.write("b.rhai", "let what = \"a\"; print(arg(what + \"b\", 3));");
    let run = lab.run(["b.rhai", "-D", "ab=7"]);
    assert_eq!(run.stdout.trim(), "7", "{}", run.stderr);
    let run = lab.run(["b.rhai", "-D", "ac=7"]);
    assert_eq!((run.code, run.stdout.trim()), (Some(0), "3"));
    assert!(run.stderr.contains("-D ac=7 was not used"), "{}", run.stderr);
    let run = lab.run(["-e", "1 + 1", "-D", "x=1"]);
    assert!(run.code == Some(1) && run.stderr.contains("the script reads no arguments"), "{}", run.stderr);
}

#[test]
fn a_tilde_is_the_home_folder_in_every_path() {
    let mut lab = Lab::new();
    let home = lab.path("home");
    std::fs::create_dir_all(home.join("data")).unwrap();
    lab.set("HOME", home.as_os_str());
    let run = lab.script(
        "let t = table(#{ x: [1, 2] });
        t.write(\"~/t.parquet\");
        print(parquet(\"~/t.parquet\").len);
        print(parquet(\"~/*.parquet\").len);
        plot(t).x(\"x\").y(\"x\").save(\"~/p.svg\");
        let options = #{ data: digits().take(100), model: linear(), lr: 0.1, batch: 20, epochs: 1 };
        sweep(options).run(\"~/sweep\");
        print(results(\"~/sweep\").len);
        print(results([\"~/sweep\"]).len);
        let run = train(options);
        run.network.save(\"~/n.safetensors\");
        run.network.load(\"~/n.safetensors\");
        options.init = \"~/n.safetensors\";
        train(options);
        print(sweep(options).plan(\"~/sweep\").len);",
    );
    assert_eq!((run.code, run.stdout.trim()), (Some(0), "2\n2\n1\n1\n1"), "{}", run.stderr);
    for file in ["t.parquet", "p.svg", "sweep/sweep.json", "n.safetensors"] {
        assert!(home.join(file).exists(), "{file}");
    }
    assert!(!lab.path("~").exists());
    // The shell leaves it to the program here.
    let run = lab.run(["data", "cifar10", "--data-dir=~/data"]);
    assert!(
        run.stdout.contains("home/data") || run.stderr.contains("home/data"),
        "{}{}",
        run.stdout,
        run.stderr
    );
    let other = lab.path("home/other");
    std::fs::create_dir(&other).unwrap();
    let run = lab
        .kelvin()
        .current_dir(home.join("data"))
        .args(["--allow-write=~/other", "-e", "table(#{ x: [1] }).write(\"~/other/u.parquet\")"])
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert!(other.join("u.parquet").exists());
}

/// One at a time; see `main.rs`.
mod alone {
    use super::*;

    #[test]
    fn an_interrupted_training_can_be_had() {
        let lab = Lab::new();
        let mut terminal = Terminal::start(&lab);
        let long = SHORT.replace("epochs: 3", "epochs: 10000000");
        // Until some epochs were done, however busy the machine is.
        for patience in 1.. {
            terminal.begin(&format!("let r = {long};"));
            (0..patience).for_each(|_| drop(terminal.wait("images/s")));
            let (answer, _) = terminal.interrupt();
            assert!(
                answer.contains("last_run() has the run with") && answer.contains("interrupted"),
                "{answer}"
            );
            assert_eq!(terminal.ask("let r = last_run(); r.status"), "interrupted");
            if terminal.ask("r.epochs.len > 20") == "true" {
                break;
            }
        }
        assert!(terminal.ask("r").contains("run interrupted after"), "{}", terminal.screen());
        assert_eq!(terminal.ask("r.epochs.len > 0 && r.epochs[\"epoch\"][0] == 1"), "true");
        assert_eq!(terminal.ask("r.network.evaluate(digits()).accuracy > 0.2"), "true");
        // What no name was given to is kept, too.
        terminal.ask(SHORT);
        assert_eq!(terminal.ask("last_run().status"), "done");
        assert_eq!(terminal.ask("last_run().epochs.len"), "3");
        let refused = terminal.ask(&format!("q = {long}"));
        assert!(refused.contains("unknown variable `q`; define it first"), "{refused}");
        assert_eq!(terminal.leave(), Some(0));

        let diverges = SHORT.replace("lr: 0.1", "lr: 1e300");
        let script = format!("try {{ {diverges}; }} catch (e) {{ print(e); }} print(last_run().status);");
        let found = prints(&script);
        assert!(found.contains("last_run() has the run with") && found.ends_with("diverged"), "{found}");
        let none = Lab::new().run(["-e", "last_run()"]);
        assert!(none.stderr.contains("nothing was trained yet"), "{}", none.stderr);
    }

    #[test]
    fn values_that_double_end_with_an_error() {
        for script in [
            "let s = \"0123456789\"; loop { s += s; }",
            "let a = [1, 2]; loop { a += a; }",
            "let a = [1, 2]; loop { a.append(a); }",
            "let a = [1]; loop { a = [a, a]; }",
            "let s = \"01234567890123456789\"; loop { s = `${s}${s}`; }",
            "let f = |x| x; loop { f = f.curry(f); }",
            "let a = []; loop { a.push(1.5); }",
        ] {
            let lab = Lab::new();
            let run = lab.script(&format!("try {{ {script} }} catch (e) {{ print(e); }} print(\"on\");"));
            assert_eq!(run.code, Some(0), "{script}: {}", run.stderr);
            let found = run.stdout.trim();
            assert!(found.contains("hold more than 1 GB") && found.ends_with("on"), "{script}: {found}");
            assert!(run.peak < 6 << 30, "{script}: {} MB", run.peak >> 20);
        }
    }

    /// The look at the variables costs no more where they are many.
    #[test]
    fn loops_over_large_arrays_stay_linear() {
        let seconds = |n: u32| {
            let script = format!(
                "let a = []; for i in 0..{n} {{ a.push(i); }} for i in 0..{n} {{ a[i] += 1; }} a.len"
            );
            let run = Lab::new().run(["-e", &script]);
            assert_eq!(run.stdout.trim(), n.to_string(), "{}", run.stderr);
            run.cpu.as_secs_f64()
        };
        let (short, long) = (seconds(100_000), seconds(1_000_000));
        println!("{short:.2} s and {long:.2} s");
        assert!(long < 40.0 * short.max(0.1), "{short} s and {long} s");
    }

    #[test]
    fn bytes_that_are_not_utf8_are_an_error_of_their_line() {
        let lab = Lab::new();
        let mut terminal = Terminal::start(&lab);
        assert_eq!(terminal.ask("let n = 3;"), "");
        for keys in
            [&b"n = 4; \"caf\xe9\"; n = 5;\r"[..], b"\x1b[200~n = 6; \"\xff\"; n = 7;\x1b[201~\r", b"\xc3("]
        {
            terminal.send_bytes(keys);
            terminal.wait("expected UTF-8");
        }
        terminal.ask("");
        assert_eq!(terminal.ask("n"), "3");
        assert_eq!(terminal.leave(), Some(0));

        // Files, modules, standard input, and what follows -e and -D.
        lab.write("latin.rhai", b"let a = 1;\nlet s = \"caf\xe9\";");
        for arguments in
            [vec!["latin.rhai"], vec!["check", "latin.rhai"], vec!["-e", "import \"latin\" as l;"]]
        {
            let run = lab.run(&arguments);
            assert_eq!(run.code, Some(1), "{arguments:?}");
            assert!(run.stderr.contains("latin.rhai:2:13: expected a script in UTF-8"), "{}", run.stderr);
        }
        let run = lab.kelvin().stdin(std::fs::File::open(lab.path("latin.rhai")).unwrap()).output().unwrap();
        let error = String::from_utf8_lossy(&run.stderr);
        assert!(error.contains("standard input:2:13: expected a script in UTF-8"), "{error}");
        use std::os::unix::ffi::OsStrExt;
        let bad = std::ffi::OsStr::from_bytes(b"x=caf\xe9");
        for flag in ["-e", "-D"] {
            let run = lab.run([std::ffi::OsStr::new(flag), bad]);
            assert_eq!(run.code, Some(2), "{}", run.stderr);
            assert!(run.stderr.to_lowercase().contains("utf-8"), "{}", run.stderr);
        }
        // A file's own name may be any bytes; its modules are found beside it.
        let folder = lab.path(".").join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("one.rhai"), "fn one() { 1 }").unwrap();
        std::fs::write(folder.join("a.rhai"), "import \"one\" as one; print(one::one());").unwrap();
        let run = lab.run([folder.join("a.rhai")]);
        assert_eq!(run.stdout.trim(), "1", "{}", run.stderr);
    }

    /// As root the limit does not hold, so that the test becomes another user for it.
    #[test]
    fn a_process_that_may_start_no_thread_says_so() {
        use std::os::unix::process::CommandExt;
        let with = |processes: u64, script: &str| {
            let mut command = Command::new(crate::support::program());
            command.args(["-e", script]).current_dir("/tmp").env("HOME", "/tmp").env("NO_COLOR", "1");
            let limit = libc::rlimit { rlim_cur: processes, rlim_max: processes };
            let set = move || {
                // SAFETY: plain system calls between fork and exec.
                unsafe {
                    libc::setrlimit(libc::RLIMIT_NPROC, &limit);
                    if libc::getuid() == 0 && (libc::setgid(54_321) != 0 || libc::setuid(54_321) != 0) {
                        return Err(std::io::Error::last_os_error());
                    }
                }
                Ok(())
            };
            // SAFETY: the closure makes system calls only.
            unsafe { command.pre_exec(set) };
            command.stdin(Stdio::null()).output()
        };
        let Ok(free) = with(1_000, "1 + 1") else {
            eprintln!("skipped: another user may not run the program");
            return;
        };
        if !free.status.success() {
            eprintln!("skipped: {}", String::from_utf8_lossy(&free.stderr));
            return;
        }
        for (processes, script) in [(1, "1 + 1"), (3, SHORT), (2, SHORT), (4, SHORT)] {
            let run = with(processes, script).unwrap();
            let error = String::from_utf8_lossy(&run.stderr);
            println!("{processes}: {:?} {error}", run.status);
            assert!(!error.contains("panicked"), "{processes}: {error}");
            assert!(run.status.code().is_some(), "{processes}: {:?} {error}", run.status);
            if processes == 1 {
                assert_eq!(run.status.code(), Some(1), "{error}");
                assert!(error.contains("thread") && error.lines().count() == 1, "{error}");
            }
        }
    }

    #[test]
    fn texts_that_no_one_writes_end_soon_with_an_error() {
        let deep = 10_000;
        let lab = Lab::new();
        for (name, text) in [
            ("brackets", format!("{}1{}", "(".repeat(deep), ")".repeat(deep))),
            ("arrays", format!("{}{}", "[".repeat(deep), "]".repeat(deep))),
            ("maps", format!("{}1{}", "#{a:".repeat(deep), "}".repeat(deep))),
            ("blocks", format!("{}1{}", "{".repeat(deep), "}".repeat(deep))),
            ("open", "[".repeat(deep)),
            ("sums", format!("1{}", "+x".repeat(deep))),
            ("minus", format!("{}1", "-".repeat(deep))),
            ("nots", format!("{}true", "!".repeat(deep))),
            ("dots", format!("let x = 1; x{}", ".y".repeat(deep))),
            ("indices", format!("let x = 1; x{}", "[0]".repeat(deep))),
            ("calls", format!("let x = 1; x{}", ".f()".repeat(deep))),
            ("ifs", format!("if 1 == 2 {{ }}{}", " else if 1 == 2 { }".repeat(deep))),
            ("closures", format!("let f = {}1", "|x| ".repeat(deep))),
            ("texts", format!("let f = {}1{}", "`${".repeat(deep), "}`".repeat(deep))),
            ("ands", format!("x{}", " && x".repeat(deep))),
            ("comments", format!("{}{} 1", "/*".repeat(deep), "*/".repeat(deep))),
            ("name", "a".repeat(100_000)),
            ("names", format!("let {0} = 1; {0} + {0}b", "a".repeat(100_000))),
            ("large", "let x = 1;\n".repeat(5_000_000)),
            ("digits", "1".repeat(1_000_000)),
        ] {
            let file = format!("{name}.rhai");
            lab.write(&file, text);
            for arguments in [vec![file.as_str()], vec!["check", file.as_str()]] {
                let run = lab.run(&arguments);
                println!(
                    "{name}: {:?} {:?} {}",
                    run.code,
                    run.time,
                    run.stderr.chars().take(200).collect::<String>()
                );
                assert!(run.code.is_some_and(|code| code < 2), "{name}: {:?} {}", run.code, run.stderr.len());
                assert!(run.cpu.as_secs() < 30, "{name}: {:?}", run.cpu);
                assert!(!run.stderr.contains("panicked") && run.stderr.len() < 10_000, "{name}");
            }
        }
    }
}
