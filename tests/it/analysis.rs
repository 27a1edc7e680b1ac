//! Estimates in scripts, on tables whose truth is known.

use crate::support::Lab;

/// Three temperatures, two settings at the middle one, four seeds; the gap falls as Eq. 1, the train loss rises, the test
/// loss is least in the middle.
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
    assert!(value("predictions(steady).rows()[1].says").contains("the test_loss is smallest at T = 0.0025"));
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
    assert_eq!(run.stdout.trim(), "[\"split\", \"init\", \"order\", \"all\"]\n[27, 27, 27, 108]");
}
