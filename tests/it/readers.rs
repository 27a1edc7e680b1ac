//! The Parquet files in other programs: pyarrow, pandas, polars and DuckDB, the real ones.

use std::process::Command;

use kelvin::sweep::rows::epochs_schema;
use kelvin::table::Table;

/// A small sweep, opened by every reader. `make test` installs them and sets KELVIN_PYTHON.
#[test]
fn every_reader_opens_what_kelvin_writes() {
    let Some(python) = std::env::var_os("KELVIN_PYTHON") else {
        eprintln!("skipped: KELVIN_PYTHON names no Python with the readers; run `make test`");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("results");
    let script = "sweep(#{ data: digits(), train: 100, test: 50, model: linear(), lr: [0.1, 0.2], batch: [10, 20], \
                  seed: [1, 2], epochs: 3 }).run(\"results\")";
    let done = Command::new(crate::support::program())
        .current_dir(folder.path())
        .args(["-q", "-e", script])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));

    let epochs = kelvin::sweep::open(&dir).unwrap();
    let runs = Table::read_parquet(&dir.join("runs.parquet")).unwrap();
    let types = |table: &Table| -> Vec<(String, String)> {
        let name = |kind: &arrow::datatypes::DataType| match arrow_name(kind) {
            Some(name) => name.to_owned(),
            None => kind.to_string(),
        };
        let fields = table.batch().schema_ref().fields();
        fields.iter().map(|field| (field.name().clone(), name(field.data_type()))).collect()
    };
    assert_eq!(epochs.batch().schema_ref().fields(), epochs_schema().fields());
    let expected = serde_json::json!({
        "columns": types(&epochs),
        "rows": epochs.len(),
        "sum_test_loss": epochs.floats("test_loss").unwrap().iter().sum::<f64>(),
        "sweep": epochs.strings("sweep").unwrap()[0],
        "runs": runs.len(),
        "run_columns": types(&runs),
    });
    assert_eq!((epochs.len(), runs.len()), (24, 8));
    let file = folder.path().join("expected.json");
    std::fs::write(&file, expected.to_string()).unwrap();
    let readers = crate::support::checkout().join("tests/readers.py");
    let read = Command::new(python).arg(readers).arg(&dir).arg(&file).output().unwrap();
    println!("{}", String::from_utf8_lossy(&read.stdout));
    assert!(
        read.status.success(),
        "{}{}",
        String::from_utf8_lossy(&read.stdout),
        String::from_utf8_lossy(&read.stderr)
    );
}

/// Arrow's own names of the types that the tables use.
fn arrow_name(kind: &arrow::datatypes::DataType) -> Option<&'static str> {
    use arrow::datatypes::DataType::{Boolean, Float64, Int64, Timestamp, Utf8};
    match kind {
        Utf8 => Some("string"),
        Float64 => Some("double"),
        Int64 => Some("int64"),
        Boolean => Some("bool"),
        Timestamp(..) => Some("timestamp"),
        _ => None,
    }
}

/// The epochs table is the one that the design promises, column by column.
#[test]
fn the_epochs_table_has_its_columns_in_order() {
    let schema = epochs_schema();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(
        names.join(", "),
        "run_id, sweep, data, sampling, train_size, test_size, augment, model, width, parameters, optimizer, \
         momentum, weight_decay, noise, schedule, order, precision, lr, batch, temperature, seed, seed_split, \
         seed_init, seed_order, epochs, epoch, steps, lr_now, train_loss, train_accuracy, test_loss, \
         test_accuracy, gap, accuracy_gap, train_loss_std, test_loss_std, seconds, label_noise, overlap, \
         hidden, beta2, eps, train_metrics, seed_augment, seed_noise, evaluate_every, data_options, options"
    );
}
