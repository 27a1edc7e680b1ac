//! The paper's figures, in little.

use std::fs;

use crate::support::Lab;

/// The project's scripts, where a script of the lab finds them.
fn scripts(lab: &Lab) {
    fs::create_dir(lab.path("scripts")).unwrap();
    for entry in fs::read_dir(crate::support::checkout().join("scripts")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, lab.path("scripts").join(path.file_name().unwrap())).unwrap();
    }
}

/// Fewer epochs and seeds than at any scale: what is found says nothing, but everything is made.
const LITTLE: [&str; 6] = ["-D", "epochs=1", "-D", "seeds=2", "-D", "dir=out"];

/// Where a scale with one epoch puts its results.
const OUT: &str = "out/quick-epochs-1";

/// Seeds of [`LITTLE`] times the settings of the scale; and those of the lower temperatures.
const RUNS: usize = 24;
const COLDER: usize = 16;

/// A figure of six panels: its number, sampling, momentum, schedule, runs, and the temperature
/// where it ends.
type SixPanels = (usize, &'static str, &'static str, &'static str, usize, f64);

const SIX_PANELS: [SixPanels; 10] = [
    (1, "split", "0.9", "cosine", COLDER, 8e-4),
    (2, "split", "0.9", "cosine", RUNS, 1.0),
    (3, "split", "0.0", "constant", RUNS, 1.0),
    (4, "split", "0.0", "constant", COLDER, 7e-3),
    (5, "split", "0.0", "cosine", RUNS, 1.0),
    (6, "split", "0.9", "constant", RUNS, 1.0),
    (9, "random", "0.0", "constant", RUNS, 1.0),
    (10, "random", "0.9", "cosine", RUNS, 1.0),
    (11, "random", "0.0", "cosine", RUNS, 1.0),
    (12, "random", "0.9", "constant", RUNS, 1.0),
];

/// The titles of the y axes, in the paper's order.
const PANELS: [&str; 6] = [
    "generalisation gap (test − train loss)",
    "accuracy gap (train − test)",
    "test loss",
    "test accuracy",
    "train loss",
    "train accuracy",
];

/// Says of every figure which runs are in it.
const ASK: &str = r#"
for number in 1..=12 {
    let name = "scripts/figure" + if number < 10 { "0" } else { "" } + number;
    import name as script;
    let found = script::found;
    if number == 7 {
        let runs = found.points.group(["sampling", "variant", "run_id", "epochs"], ["count(*) as n"]);
        let expected = "n = least(20, epochs - floor(0.75 * epochs))";
        for row in runs.group(["sampling", "variant"], ["count(*) as runs", `count(*) filter (where ${expected}) as right`]).rows() {
            print(`ASK 7 ${row.sampling} ${row.variant}: ${row.right} of ${row.runs}`);
        }
    } else if number == 8 {
        for row in found.table.rows() { print(`ASK 8 batch ${row.batch} cut ${row.epochs_cut}`); }
    } else {
        let kinds = found.steady.group(["sampling", "momentum", "schedule"], [
            "count(*) as runs", "max(temperature) as hottest", "count(distinct round(ln(temperature), 6)) as levels",
        ]);
        for row in kinds.rows() {
            print(`ASK ${number} ${row.sampling} ${row.momentum} ${row.schedule} ${row.runs} ${row.hottest} ${row.levels}`);
        }
    }
}
"#;

/// What [`ASK`] says of a figure.
fn asked(stdout: &str, number: usize) -> Vec<&str> {
    let prefix = format!("ASK {number} ");
    stdout.lines().filter_map(|line| line.strip_prefix(&prefix)).collect()
}

#[test]
fn all_figures_are_made_once_and_only_drawn_again() {
    let lab = Lab::new();
    scripts(&lab);
    let make = || lab.run(["scripts/all-figures.rhai"].iter().chain(&LITTLE));
    let first = make();
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    let file = lab.path(OUT).join("figures.html");
    let page = fs::read_to_string(&file).unwrap();
    for number in 1..=12 {
        assert!(lab.path(OUT).join(format!("figure{number:02}.svg")).is_file(), "figure {number}");
        assert!(page.contains(&format!("Figure {number}. ")), "figure {number}");
    }
    assert!(first.stdout.contains("24 of 24 runs are not converged"), "{}", first.stdout);
    let metrics = lab.metrics();
    let again = make();
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert!(!again.stderr.contains("training"), "{}", again.stderr);
    assert!(lab.metrics() == metrics);
    assert_eq!(again.stdout, first.stdout);
    assert_eq!(fs::read_to_string(&file).unwrap(), page);

    // Every figure shows the runs that the paper's shows, and nothing is trained to ask.
    lab.write("ask.rhai", ASK);
    let ask = lab.run(["ask.rhai"].iter().chain(&LITTLE));
    assert_eq!(ask.code, Some(0), "{}", ask.stderr);
    assert!(lab.metrics() == metrics);
    for (number, sampling, momentum, schedule, runs, end) in SIX_PANELS {
        let lines = asked(&ask.stdout, number);
        let [line] = lines[..] else { panic!("figure {number}: {lines:?}") };
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(words[..4], [sampling, momentum, schedule, &runs.to_string()], "figure {number}");
        let (hottest, levels): (f64, usize) = (words[4].parse().unwrap(), words[5].parse().unwrap());
        assert!(hottest <= end && levels >= 5, "figure {number}: {line}");
        six_panels(&lab, number);
    }
    assert_eq!(
        asked(&ask.stdout, 7),
        ["split", "random"]
            .into_iter()
            .rev()
            .flat_map(|sampling| ["momentum and cosine", "plain SGD"].map(|variant| (sampling, variant)))
            .map(|(sampling, variant)| format!("{sampling} {variant}: {RUNS} of {RUNS}"))
            .collect::<Vec<_>>()
    );
    let spikes = asked(&ask.stdout, 8);
    assert!(
        matches!(spikes[..], [first, second] if first.starts_with("batch 1000 ") && second.starts_with("batch 32 "))
    );
}

/// A drawing has six panels over T, in the paper's order; means by batch in Figures 6 and 12 only.
fn six_panels(lab: &Lab, number: usize) {
    let svg = fs::read_to_string(lab.path(OUT).join(format!("figure{number:02}.svg"))).unwrap();
    assert_eq!(svg.matches(">temperature T = λ/B</text>").count(), PANELS.len(), "figure {number}");
    let places = PANELS.map(|title| {
        let text = format!(">{title}</text>");
        assert_eq!(svg.matches(&text).count(), 1, "figure {number}: {title}");
        svg.find(&text)
    });
    assert!(places.is_sorted(), "figure {number}: {places:?}");
    assert_eq!(svg.contains("mean of each batch"), [6, 12].contains(&number), "figure {number}");
}

#[test]
fn seeds_and_epochs_may_change_from_call_to_call() {
    let lab = Lab::new();
    scripts(&lab);
    let runs = || lab.metrics().len();
    let make = |epochs: &str, seeds: &str| {
        let (epochs, seeds) = (format!("epochs={epochs}"), format!("seeds={seeds}"));
        let run = lab.run(["scripts/figure03.rhai", "-D", "dir=out", "-D", &epochs, "-D", &seeds]);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        run.stdout
    };
    // One seed: a figure, and why there is no verdict on equal temperatures.
    let one = make("1", "1");
    assert!(one.contains("no verdict on equal T: collapse: expected"), "{one}");
    assert!(lab.path(OUT).join("figure03.svg").is_file());
    assert_eq!(runs(), RUNS / 2);
    assert!(make("1", "2").contains("all 24 runs:"));
    assert_eq!(runs(), RUNS);
    assert_eq!(make("1", "1"), one);
    assert_eq!(runs(), RUNS);
    make("2", "1");
    assert_eq!(runs(), RUNS + RUNS / 2);
    assert!(lab.path("out/quick-epochs-2/figure03.svg").is_file());
}

#[test]
fn a_figure_of_runs_that_all_diverged_is_drawn_and_says_why_nothing_is_judged() {
    let lab = Lab::new();
    lab.write(
        "diverge.rhai",
        r#"
import "paper" as paper;
let scale = paper::chosen_scale();
scale.plain = #{ lr: [1e9, 2e9], batch: [32], reference: 1e-3, low: 1.0 };
paper::report(paper::six_panels(scale, 3, "Plain SGD", paper::runs(scale, "split", "plain"), #{}));
"#,
    );
    let run = lab.run(["diverge.rhai"].iter().chain(&LITTLE));
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(run.stderr.contains("diverged"), "{}", run.stderr);
    for part in ["no fit of Eq. 1 to gap: ", "no verdicts on A, B and C: "] {
        assert!(run.stdout.contains(part), "no `{part}` in\n{}", run.stdout);
    }
    assert!(lab.path(OUT).join("figure03.svg").is_file());
}

#[test]
fn the_scripts_on_new_ground_come_to_their_verdicts() {
    let lab = Lab::new();
    scripts(&lab);
    let asked = [
        ("sutskever", "lr = 0.05", "At a held learning rate, does the gap lie on a falling curve?"),
        ("adam", "batch = 8", "  lr / sqrt(batch): "),
        ("train-size", "train_size = 250", "power"),
        ("width", "width = 2", "  A "),
        ("label-noise", "label_noise = 0.1", "  A "),
    ];
    for (name, heading, verdict) in asked {
        let script = format!("scripts/{name}.rhai");
        let run = lab.run([script.as_str()].iter().chain(&LITTLE));
        // At the highest temperature one run in twenty diverges, whatever computes it.
        let diverged = run.code == Some(1) && run.stderr.contains(" diverged, 0 failed");
        assert!(run.code == Some(0) || diverged, "{name}: {}", run.stderr);
        assert!(run.stdout.lines().any(|line| line == heading), "{name}: {}", run.stdout);
        assert!(run.stdout.contains("  C ") && run.stdout.contains(verdict), "{name}: {}", run.stdout);
        assert!(lab.path(OUT).join(format!("{name}.svg")).is_file(), "{name}");
    }
    // A quarter of the images is passed over four times as often.
    let sizes = lab.script(
        r#"
let runs = results("out/quick-epochs-1/train-size").filter("batch = 8 and lr = 0.4");
for row in runs.group("train_size", ["max(epoch) as epochs"]).sort("train_size").rows() { print(`${row.train_size} ${row.epochs}`); }
"#,
    );
    assert_eq!(sizes.stdout, "250 4\n500 2\n1000 1\n", "{}", sizes.stderr);
}

#[test]
fn an_unknown_scale_is_told_the_known_ones() {
    let lab = Lab::new();
    scripts(&lab);
    let run = lab.run(["scripts/figure03.rhai", "-D", "scale=huge"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("expected quick, digits, cifar10-small or paper"), "{}", run.stderr);
}
