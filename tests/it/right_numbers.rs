//! Numbers that were wrong without a word: each with its right value, as a script sees it.

use std::fs::File;
use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryArray, DictionaryArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Float64Type, Int32Type};
use image::{ImageFormat, RgbImage};
use parquet::arrow::ArrowWriter;

use crate::support::{Lab, read_parquet};

fn printed(lab: &Lab, script: &str) -> String {
    let run = lab.script(script);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    run.stdout.trim().to_owned()
}

fn refused(lab: &Lab, script: &str) -> String {
    let run = lab.script(script);
    assert_eq!(run.code, Some(1), "{}", run.stdout);
    run.stderr
}

const GRID: &str = r#"let s = sweep(#{ data: digits().take(250), train: 200, test: 50, model: linear(), lr: [0.1, 0.2, 0.3, 0.6],
    batch: [32, 64, 96], seed: 1..=3, epochs: 1 }); "#;

/// 0.3 / 96 is 0.1 / 32: one temperature in tables, files, plans and functions of a run.
#[test]
fn equal_temperatures_are_one_number() {
    let lab = Lab::new();
    let found = printed(
        &lab,
        &format!(
            "{GRID} let t = s.run(\"out\"); print(t.filter(\"temperature = 0.003125\").len); \
             print(t.group(\"temperature\", \"count(*) as n\").len); \
             print(s.plan(\"out\").filter(\"temperature = 0.003125\").len); \
             print(results(\"out\").steady().filter(\"temperature = 0.003125\").len);"
        ),
    );
    assert_eq!(lab.run(["compact", "out"]).code, Some(0));
    // 0.1/96, 0.1/64 and 0.2/96 … are 8 of 12 quotients.
    assert_eq!(found, "9\n8\n9\n9");
    let at = |pattern: &str| -> Vec<f64> {
        let found = glob::glob(lab.path(pattern).to_str().unwrap()).unwrap().map(Result::unwrap);
        found
            .flat_map(|path| {
                let batch = read_parquet(&path);
                batch.column_by_name("temperature").unwrap().as_primitive::<Float64Type>().values().to_vec()
            })
            .collect()
    };
    for (files, runs) in
        [("out/metrics/**/*.parquet", 36), ("out/runs.parquet", 36), ("out/compact/**/*.parquet", 36)]
    {
        let temperatures = at(files);
        assert_eq!(temperatures.len(), runs, "{files}");
        assert_eq!(temperatures.iter().filter(|&&t| t == 0.003125).count(), 9, "{files}");
    }
    let epochs = "let p = sweep(#{ data: digits(), model: linear(), lr: 0.3, batch: 96, epochs: |run| if run.temperature == 0.003125 { 7 } \
                  else { 1 } }).plan(); print(p[\"epochs\"]);";
    assert_eq!(printed(&lab, epochs), "[7]");
}

/// Times of chains with other steps, too: λ times the updates is one number for all of them.
#[test]
fn equal_times_of_chains_are_one_number() {
    let script = "let p = lab::gaussian_mean(#{ n: 20 }); \
        let at = |lr| lab::relaxation(p, #{ temperature: 0.05, lr: lr, time: 0.6, times: 6, chains: 32 })[\"time\"]; \
        print(at.call(0.1)); print(at.call(0.05)); \
        try { lab::relaxation(p, #{ temperature: 0.3, lr: 1.0 }) } catch (error) { print(error) }";
    let found = printed(&Lab::new(), script);
    let times = "[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]";
    assert!(found.starts_with(&format!("{times}\n{times}\n")), "{found}");
    assert!(found.contains("the nearest are 0.9 and 1.2"), "{found}");
}

/// The rates of a range are those that one writes, so that runs have the ids of these.
#[test]
fn a_range_of_rates_is_the_list_of_them() {
    let lab = Lab::new();
    let ids = |lr: &str| {
        let data = "data: digits(), model: linear(), batch: 8, epochs: 1";
        printed(&lab, &format!("print(sweep(#{{ {data}, lr: {lr} }}).plan()[\"run_id\"]);"))
    };
    assert_eq!(ids("range(0.1, 0.5, 0.1)"), ids("[0.1, 0.2, 0.3, 0.4]"));
    assert_eq!(ids("range(0.25, 1, 0.25)"), ids("[0.25, 0.5, 0.75]"));
    assert_eq!(printed(&lab, "print(range(0.1, 0.5, 0.1));"), "range(0.1, 0.5, 0.1)");
    let error = refused(
        &lab,
        "sweep(#{ data: digits(), model: linear(), batch: 8, epochs: 1, lr: range(0.0, 9.0, 1e-6) });",
    );
    assert!(error.contains("more than 1000000 runs (9000000 values of lr)"), "{error}");
}

/// Label noise twice changes labels twice; the column says how many.
#[test]
fn label_noises_compose() {
    let noise = |calls: &str| {
        let lab = Lab::new();
        let sweep =
            format!("sweep(#{{ data: digits(){calls}, model: linear(), lr: 0.1, batch: 8, epochs: 1 }})");
        let shown = "print(t[\"label_noise\"][0]); print(t[\"data\"][0]);";
        printed(&lab, &format!("let t = {sweep}.run(\"out\"); {shown}"))
    };
    assert_eq!(noise(".label_noise(0.4, 1)"), "0.4\ndigits.label_noise(0.4, 1)");
    let two = ".label_noise(0.4, 1).label_noise(0.0, 2)";
    assert_eq!(noise(two), "0.4\ndigits.label_noise(0.4, 1).label_noise(0, 2)");
    // 0.2 + 0.8 · 0.2, less the ninth of what is changed again that comes back.
    let twice = noise(".label_noise(0.2, 1).label_noise(0.2, 1)");
    let share: f64 = twice.lines().next().unwrap().parse().unwrap();
    assert!((share - (0.36 - 0.04 / 9.0)).abs() < 1e-12, "{twice}");
}

/// Runs with one operation of a kind are the same as before operations composed.
#[test]
fn ids_of_runs_stay() {
    let lab = Lab::new();
    let id = |data: &str, more: &str| {
        let options = format!("data: {data}, {more} model: linear(), lr: 0.1, batch: 8, epochs: 1");
        printed(&lab, &format!("print(sweep(#{{ {options} }}).plan()[\"run_id\"][0]);"))
    };
    let sizes = "train: 200, test: 50,";
    assert_eq!(id("digits().label_noise(0.4, 1)", ""), "r6d94041d83128f05");
    let both = "digits().subset(#{ n: 300, seed: 3 }).label_noise(0.1, 2)";
    assert_eq!(id(both, sizes), "r43d9ce6b1a04b29b");
    assert_eq!(id("digits().split(#{ train: 400, test: 100 }).train", sizes), "r6aba74c210be18f6");
}

#[test]
fn fits_say_what_the_points_do_not() {
    let lab = Lab::new();
    let fit = printed(
        &lab,
        "let fit = curve_fit(|x, p| p[0] + p[1] * x, [-2.0, -1.0, 0.0, 1.0, 2.0], [-3.9, -2.2, 0.2, 1.8, 4.1], [0.0, 0.0]); \
         print(fit.p_error[0]); print(fit.p_error[1]); print(fit.problem == ());",
    );
    let numbers: Vec<f64> = fit.lines().take(2).map(|line| line.parse().unwrap()).collect();
    // By the closed form: s² = 0.14, over 5 points and over Σx² = 10.
    assert!((numbers[0] - (0.14f64 / 3.0 / 5.0).sqrt()).abs() < 1e-9, "{fit}");
    assert!((numbers[1] - (0.14f64 / 3.0 / 10.0).sqrt()).abs() < 1e-9, "{fit}");
    assert!(fit.ends_with("true"), "{fit}");
    let unknown =
        printed(&lab, "print(curve_fit(|x, p| p[0] * p[1] * x, [1, 2, 3], [1.0, 2.1, 2.9], [1, 1]));");
    assert!(unknown.contains("do not determine p[0], p[1]") && unknown.contains("[NaN, NaN]"), "{unknown}");

    let constant = "let t = table(#{ temperature: [1e-3, 2e-3, 4e-3, 8e-3], gap: [0.1, 0.1, 0.1, 0.1], k: [1, 1, 1, 1] }); ";
    let fit = printed(&lab, &format!("{constant} print(fit_gap(t, #{{ bootstrap: 200 }}));"));
    assert!(fit.contains("the gap does not vary: R² is not defined"), "{fit}");
    assert!(!fit.contains("NaN") && !fit.contains("inf") && !fit.contains("95 %"), "{fit}");
    let error = refused(&lab, &format!("{constant} fit_gap(t, #{{ bootstrap: 200 }}).b_low"));
    assert!(error.contains("no interval: runs that differ in seeds alone"), "{error}");
    let by =
        printed(&lab, &format!("{constant} print(fit_gap(t, #{{ bootstrap: 200, by: \"k\" }}).rows()[0]);"));
    assert!(
        by.contains("\"r2\": ()") && by.contains("\"b_low\": ()") && by.contains("does not vary"),
        "{by}"
    );
}

fn write(lab: &Lab, name: &str, labels: ArrayRef) {
    let image = |shade: usize| {
        let mut bytes = Cursor::new(Vec::new());
        let image = RgbImage::from_fn(4, 4, |x, y| image::Rgb([(shade * 9) as u8, x as u8, y as u8]));
        image.write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    };
    let images: Vec<Vec<u8>> = (0..labels.len()).map(image).collect();
    let images: ArrayRef = Arc::new(BinaryArray::from_iter_values(images));
    let batch = RecordBatch::try_from_iter([("image", images), ("label", labels)]).unwrap();
    let mut writer =
        ArrowWriter::try_new(File::create(lab.path(name)).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// Texts are the classes' names, over all files and in their order; what is neither text nor
/// integer is refused.
#[test]
fn labels_of_text_are_the_names_of_classes() {
    let lab = Lab::new();
    let texts = |values: &[&str]| -> ArrayRef { Arc::new(StringArray::from(values.to_vec())) };
    std::fs::create_dir(lab.path("zoo")).unwrap();
    write(&lab, "zoo/train-0.parquet", texts(&["dog", "cat", "dog"]));
    let coded: DictionaryArray<Int32Type> = ["ape", "dog"].into_iter().collect();
    write(&lab, "zoo/train-1.parquet", Arc::new(coded));
    let show = "let zoo = images(\"zoo\"); print(zoo.names); print(zoo.classes); print(zoo.len);";
    assert_eq!(printed(&lab, show), "[\"ape\", \"cat\", \"dog\"]\n3\n5");
    // Image 3 is the ape, class 0.
    let label = printed(&lab, "images(\"zoo\").show(3);");
    assert!(label.contains("label 0 (ape)"), "{label}");
    assert_eq!(printed(&lab, "print(digits().names);"), "[]");

    write(&lab, "zoo/train-2.parquet", Arc::new(Int64Array::from(vec![1, 2])));
    let error = refused(&lab, "images(\"zoo\")");
    assert!(error.contains("are numbers, and in the files before texts"), "{error}");
    write(&lab, "reals.parquet", Arc::new(arrow::array::Float64Array::from(vec![0.5, 1.7])));
    let error = refused(&lab, "images(\"reals.parquet\", #{ label: \"label\" })");
    assert!(error.contains("expected integers from 0, or texts"), "{error}");
}

#[test]
fn messages_name_types_as_scripts_know_them() {
    let lab = Lab::new();
    let error = refused(
        &lab,
        "let n = linear().init(#{ data: digits() }); fit_gap(table(#{ a: [1] }), #{ bootstrap: n })",
    );
    assert!(error.contains("found a Network") && !error.contains(">>"), "{error}");
    let help = printed(&lab, "help(\"converged\");");
    assert!(help.contains("no sign that it still moves") && help.contains("`level`)"), "{help}");
}
