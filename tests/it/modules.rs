//! Modules: where `import` looks, and errors in them.

use std::fs;

use crate::support::Lab;

#[test]
fn the_script_s_folder_comes_before_stdlib_and_stdlib_before_the_program_s_own() {
    let lab = Lab::new();
    let script = lab.write("scripts/a.rhai", "import \"paper\" as paper; print(paper::who());");
    let run = || lab.run([&script]);
    // The program's own has no such function.
    let own = run();
    assert_eq!(own.code, Some(1));
    assert!(own.stderr.contains("`paper` has no function `who`"), "{}", own.stderr);
    lab.write("stdlib/paper.rhai", "fn who() { \"stdlib\" }");
    assert_eq!(run().stdout, "stdlib\n");
    lab.write("scripts/paper.rhai", "import \"parts/name\" as name; fn who() { name::NAME }");
    lab.write("scripts/parts/name.rhai", "export const NAME = \"folder\";");
    assert_eq!(run().stdout, "folder\n");
}

#[test]
fn nothing_outside_is_read() {
    let lab = Lab::new();
    lab.write("outside.rhai", "export const X = 1;");
    fs::create_dir(lab.path("in")).unwrap();
    std::os::unix::fs::symlink(lab.path("outside.rhai"), lab.path("in/link.rhai")).unwrap();
    let absolute = lab.path("outside.rhai").display().to_string();
    let cases = [
        ("../outside", "expected the name of a module"),
        (absolute.as_str(), "expected the name of a module"),
        ("link", "a link that leads out of"),
        ("papr", "did you mean `paper`?"),
    ];
    for (name, why) in cases {
        let script = lab.write("in/x.rhai", format!("import \"{name}\" as m; print(m::X);"));
        let run = lab.run([&script]);
        assert_eq!(run.code, Some(1), "{name}");
        assert!(run.stderr.contains(why) && run.stderr.contains("x.rhai:1:8"), "{name}: {}", run.stderr);
    }
}

#[test]
fn errors_in_modules_show_their_place_and_the_way_there() {
    let lab = Lab::new();
    lab.write("broken.rhai", "fn half(n) {\n    digits().take(n / 0)\n}\n");
    let run = lab.script("import \"broken\" as broken;\nfn g() { broken::half(4) }\ng();");
    assert_eq!(run.code, Some(1));
    for part in ["broken.rhai:2:", "called from script.rhai:2: half()", "called from script.rhai:3: g()"] {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
    lab.write("broken.rhai", "let a = 1;\nlet b = resnet(#{ widht: 3 });");
    let run = lab.script("let a = 0;\nimport \"broken\" as broken;");
    for part in ["did you mean `width`?", "broken.rhai:2:", "imported from script.rhai:2"] {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
    lab.write("broken.rhai", "import \"other\" as other;");
    lab.write("other.rhai", "import \"broken\" as broken;");
    let run = lab.script("import \"broken\" as broken;");
    assert!(run.stderr.contains("modules import each other: broken.rhai → other.rhai"), "{}", run.stderr);
}

/// A closure in a map of options is called where its module's functions are not in sight.
#[test]
fn closures_may_leave_their_module() {
    let lab = Lab::new();
    lab.write(
        "mine.rhai",
        "fn twice(n) { 2 * n }\n\
         fn options(n) { #{ data: digits(), model: linear(), lr: 0.1, batch: 32, epochs: |run| twice(n) } }",
    );
    let run =
        lab.script("import \"mine\" as mine; print(sweep(mine::options(3)).plan().column(\"epochs\"));");
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), "[6]\n"), "{}", run.stderr);
}

#[test]
fn a_sweep_knows_the_modules_that_made_it() {
    let lab = Lab::new();
    lab.write("mine.rhai", "fn lr() { 0.1 }");
    let script = "import \"mine\" as mine;\n\
                  sweep(#{ data: digits(), model: linear(), lr: mine::lr(), batch: 32, epochs: 1 }).run(\"out\");";
    assert_eq!(lab.script(script).code, Some(0));
    let shown = lab.run(["show", "out"]).stdout;
    assert!(shown.contains("module     mine.rhai (sha256 "), "{shown}");
}
