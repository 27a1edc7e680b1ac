//! Estimates in scripts, on tables whose truth is known.

use crate::support::Lab;

/// Three temperatures, two settings at the middle one, four seeds; the gap falls as Eq. 1, the
/// train loss rises, the test loss is least in the middle.
const STEADY: &str = r#"
let rows = [];
for setting in [[0.02, 32], [0.04, 32], [0.02, 16], [0.08, 32], [0.16, 32]] {
    let lr = setting[0]; let batch = setting[1];
    let t = lr / batch.to_float();
    for seed in 1..=4 {
        let noise = 0.001 * (seed * 7 % 4 - 1.5) * (if batch == 16 { -1.0 } else { 1.0 });
        rows.push(#{ temperature: t, lr: lr, batch: batch, seed_split: seed, seed_init: seed, seed_order: seed,
            gap: 1e-5 / t + 0.05 + noise, test_loss: 0.3 + 0.1 * (t / 0.002 - 1.0) * (t / 0.002 - 1.0) + noise,
            test_accuracy: 0.9 - 0.1 * (t / 0.002 - 1.0) * (t / 0.002 - 1.0) + noise, train_loss: 10.0 * t + noise });
    }
}
let steady = table(rows);
"#;

fn value(expression: &str) -> String {
    let run = Lab::new().script(&format!("{STEADY} print({expression});"));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    run.stdout.trim().to_owned()
}

#[test]
fn verdicts_are_tables() {
    assert_eq!(value("predictions(steady).column(\"verdict\")"), r#"["holds", "holds", "holds", "holds"]"#);
    assert!(value("predictions(steady).rows()[1].says").contains("the test loss is smallest at T = 0.0025"));
    let collapse =
        value("collapse(steady).select([\"metric\", \"temperatures\", \"settings\", \"runs\"]).rows()[0]");
    for part in ["\"metric\": \"gap\"", "\"temperatures\": 1", "\"settings\": 2", "\"runs\": 8"] {
        assert!(collapse.contains(part), "{collapse}");
    }
}

#[test]
fn any_formula_is_fitted_by_a_closure() {
    let fit = value(
        "curve_fit(|x, p| p[0] * exp(-x / p[1]), [0, 1, 2, 3], [2.0, 2.0 * exp(-0.5), 2.0 * exp(-1.0), 2.0 * exp(-1.5)], [1.0, 1.0]).p",
    );
    let numbers: Vec<f64> =
        fit.trim_matches(['[', ']']).split(", ").map(|number| number.parse().unwrap()).collect();
    assert!((numbers[0] - 2.0).abs() < 1e-9 && (numbers[1] - 2.0).abs() < 1e-9, "{fit}");
    let run = Lab::new().script("curve_fit(|x, p| nonsense, [0, 1, 2], [1, 2, 3], [1]);");
    assert!(run.code == Some(1) && run.stderr.contains("nonsense"), "{}", run.stderr);
    let run = Lab::new().script("curve_fit(|x, p| p[0], [0, 1], [1, 2, 3], [1]);");
    assert!(run.code == Some(1) && run.stderr.contains("as many xs as ys"), "{}", run.stderr);
}

/// A sweep that varies the split and the initial weights apart says which matters.
#[test]
fn a_sweep_says_what_its_spread_comes_from() {
    let run = Lab::new().script(
        "let t = sweep(#{ data: digits().take(200), train: 100, test: 50, model: linear(), lr: 0.1, batch: 10, \
         optimizer: adam(#{decoupled: true}), epochs: 3, seed: #{split: 1..=3, init: 1..=3, order: 1..=3} }).run(\"out\"); \
         let v = variance(t.steady(), #{y: \"test_loss\"}); print(v.column(\"source\")); print(v.column(\"pairs\"));",
    );
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(
        run.stdout.trim(),
        "[\"split\", \"init\", \"order\", \"interactions\", \"all\"]\n[27, 27, 27, 0, 108]"
    );
}

#[test]
fn fits_come_with_intervals_and_for_each_value_of_a_column() {
    let script = r#"
        let fit = fit_gap(steady, #{bootstrap: 200, seed: 3});
        let band = fit.band(0.001);
        print(fit.a_low < fit.a && fit.a < fit.a_high && fit.b_low < fit.b && fit.b < fit.b_high);
        print(band.low < fit.predict(0.001) && fit.predict(0.001) < band.high);
        print(fit.n);
        let each = fit_gap(steady, #{y: "gap", by: "batch", bootstrap: 200});
        print(each.select(["batch", "n", "a_low < a and a < a_high as within"]).rows());
        print(each.rows()[0].problem);
        print(alternatives(steady).column("form"));
    "#;
    let run = Lab::new().script(&format!("{STEADY} {script}"));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines[..3], ["true", "true", "20"], "{}", run.stdout);
    assert!(lines[3].contains("\"batch\": 32, \"n\": 16, \"within\": true"), "{}", lines[3]);
    assert!(lines[3].contains("\"batch\": (), \"n\": 20, \"within\": true"), "{}", lines[3]);
    assert!(lines[4].contains("at least 4 points at 3 temperatures"), "{}", lines[4]);
    assert!(lines[5].contains("\"(a/T + b) exp(-T/c)\", \"a/T + b\""), "{}", lines[5]);
}

/// Epochs that pass for runs.
const EPOCHS: &str = r#"
    let epochs = table(#{run_id: ["r", "r"], epoch: [1, 2], temperature: [0.1, 0.1], gap: [0.1, 0.1]});
    for judge in [|| predictions(epochs), || collapse(epochs), || variance(epochs)] {
        let told = false;
        try { judge.call() } catch (e) { told = `${e}`.contains("found 2 epochs of 1 run") }
        if !told { throw "not told" }
    }
    fit_gap(epochs)
"#;

#[test]
fn options_and_fields_that_are_not_there_are_told() {
    for (script, says) in [
        ("fit_gap(steady).a_low", "fit_gap(table, #{bootstrap: 1000})"),
        ("fit_gap(steady).band(0.001)", "fit_gap(table, #{bootstrap: 1000})"),
        ("fit_gap(steady, #{bootstrap: 3})", "at least 100 draws"),
        ("fit_gap(steady, #{bye: \"batch\"})", "did you mean `by`"),
        ("predictions(steady, #{levle: 0.1})", "did you mean `level`"),
        ("predictions(steady.derive(\"width\", \"seed_split\"))", "filter(\"width = 1\")"),
        (EPOCHS, "fit_gap: expected a row per run, found 2 epochs of 1 run; take their steady state first"),
        ("steady.last_quarter(-1)", "expected an integer ≥ 0"),
        ("curve_fit(|x, p| p[0], [0, 1], [1, 2], [1], #{sigma: [1]})", "for each of 2 points"),
    ] {
        let run = Lab::new().script(&format!("{STEADY} {script};"));
        assert!(run.code == Some(1) && run.stderr.contains(says), "{script}: {}", run.stderr);
    }
}

/// The options of a small sweep that differs by its seeds.
const SMALL: &str = "#{ data: digits().take(200), train: 100, test: 50, model: linear(), lr: [0.05, 0.1], batch: 10, \
                     optimizer: sgd(), epochs: 12 }";

#[test]
fn averages_are_as_precise_as_wanted_and_made_once() {
    let lab = Lab::new();
    let script = format!(
        "let t = average_over({SMALL}, #{{ until: 0.02, relative: true, metric: \"test_loss\", start: 2, max_seeds: 12, dir: \"out\" }}); \
         print(t.columns); print(t.rows()); \
         let s = results(\"out\").steady(); \
         print(s.group([\"lr\"], [\"avg(test_loss) as mean\", \"stddev(test_loss) / sqrt(count(*)) as error\", \"count(*) as n\"]).rows()); \
         print(s.column(\"converged\").len);"
    );
    let run = lab.script(&script);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let lines: Vec<&str> = run.stdout.lines().collect();
    let columns = ["lr", "batch", "temperature", "mean", "standard_error", "n", "seeds", "reached"];
    assert_eq!(lines[0], format!("{columns:?}"));
    // What the table says is what the folder holds, and more seeds than the first two were needed.
    let numbers = |text: &str, key: &str| -> Vec<f64> {
        let key = format!("\"{key}\": ");
        text.split(&key).skip(1).map(|rest| rest.split([',', '}']).next().unwrap().parse().unwrap()).collect()
    };
    for (own, other) in [("mean", "mean"), ("standard_error", "error"), ("n", "n")] {
        let (own, other) = (numbers(lines[1], own), numbers(lines[2], other));
        assert!(
            own.len() == 2 && own.iter().zip(&other).all(|(a, b)| (a / b - 1.0).abs() < 1e-9),
            "{}",
            run.stdout
        );
    }
    let (means, errors, n) =
        (numbers(lines[1], "mean"), numbers(lines[1], "standard_error"), numbers(lines[1], "n"));
    for at in 0..2 {
        let reached = errors[at] <= 0.02 * means[at];
        assert!(reached || n[at] == 12.0, "{}", lines[1]);
    }
    assert!(n.iter().any(|&n| n > 2.0), "{}", lines[1]);

    // Again: the same answer, and nothing is trained.
    let before = lab.metrics();
    let again = lab.script(&script);
    assert_eq!((again.code, &again.stdout), (Some(0), &run.stdout), "{}", again.stderr);
    assert_eq!(lab.metrics(), before);
    // More precision goes on from what there is.
    let more =
        lab.script(&script.replace("until: 0.02", "until: 0.01").replace("max_seeds: 12", "max_seeds: 14"));
    assert_eq!(more.code, Some(0), "{}", more.stderr);
    assert!(lab.metrics().len() > before.len() && before.iter().all(|file| lab.metrics().contains(file)));
    // Another sweep's folder is refused.
    let other = lab.script(&script.replace("epochs: 12", "epochs: 13"));
    assert!(other.code == Some(1) && other.stderr.contains("holds another sweep"), "{}", other.stderr);
}

#[test]
fn averages_within_a_column_and_their_mistakes() {
    let lab = Lab::new();
    let run = lab.script(&format!(
        "let t = average_over({SMALL}, #{{ until: 1e-9, metric: \"test_loss\", by: \"batch\", start: 2, most: 3, dir: \"out\" }}); \
         print(t.rows());"
    ));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    for part in ["\"batch\": 10", "\"n\": 6", "\"seeds\": 3", "\"reached\": false"] {
        assert!(run.stdout.contains(part), "{}", run.stdout);
    }
    for (change, says) in [
        (("until: 1e-9", "untli: 1"), "did you mean `until`"),
        (("until: 1e-9, ", ""), "`until` is missing"),
        (("until: 1e-9", "until: 0"), "until: expected a number > 0"),
        (("start: 2", "start: 1"), "start: expected an integer ≥ 2"),
        (("start: 2", "start: 4"), "2 ≤ start ≤ max_seeds"),
        (("epochs: 12", "epochs: 12, seed: 1..=3"), "the first seed"),
        (("metric: \"test_loss\"", "metric: \"test_los\""), "did you mean `test_loss`"),
    ] {
        let script = format!(
            "average_over({SMALL}, #{{ until: 1e-9, metric: \"test_loss\", start: 2, max_seeds: 3, dir: \"out\" }});"
        );
        let run = lab.script(&script.replace(change.0, change.1));
        assert!(run.code == Some(1) && run.stderr.contains(says), "{change:?}: {}", run.stderr);
    }
}
