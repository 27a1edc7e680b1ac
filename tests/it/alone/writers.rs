//! Files that other programs write: every codec, page version and encoding, and images as hubs keep
//! them.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use kelvin::data::{Dataset, Source};
use kelvin::table::{Cell, Table};

use crate::support::assert_soon;

const ROWS: usize = 5000;

/// Written by the real pyarrow, pandas, polars and DuckDB; `make test` installs them and sets
/// KELVIN_PYTHON.
#[test]
fn what_other_programs_write_is_read() {
    let Some(python) = std::env::var_os("KELVIN_PYTHON") else {
        eprintln!("skipped: KELVIN_PYTHON names no Python with the writers; run `make test`");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let script = crate::support::checkout().join("tests/writers.py");
    let written = Command::new(python).arg(script).arg(folder.path()).output().unwrap();
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    tables(&folder.path().join("tables"));
    images(folder.path());
    long(&folder.path().join("long.parquet"));
    let tags =
        Table::read_parquet(&folder.path().join("tags.parquet")).unwrap_or_else(|error| panic!("{error}"));
    let lists = Cell::all(tags.column("tags").unwrap());
    assert_eq!((lists.len(), &lists[299_999]), (300_000, &Cell::Text("[tag-29, tag-30, tag-31]".to_owned())));
    // Sound files that are not read are not called broken.
    for (name, says) in [
        (
            "brotli",
            "column `x` is packed with brotli, which kelvin does not read; write the file anew with zstd",
        ),
        ("int128", "it holds what kelvin does not read: Int type with bit width of 128"),
    ] {
        let error =
            Table::read_parquet(&folder.path().join(format!("{name}.parquet"))).unwrap_err().to_string();
        assert!(error.contains(says) && !error.contains("broken"), "{error}");
    }
}

/// The cells of a column that every writer writes; of a structure, as text.
fn expected(column: &str, row: usize) -> Cell {
    let text = |text: String| Cell::Text(text);
    let items = |n: usize, item: fn(usize) -> String| (0..n).map(item).collect::<Vec<_>>().join(", ");
    match column {
        "name" if row.is_multiple_of(5) => Cell::Null,
        "name" => text(format!("a common beginning {}", row / 10)),
        "list" if row.is_multiple_of(6) => Cell::Null,
        "list" => text(format!("[{}]", items(row % 4, |item| item.to_string()))),
        "texts" => text(format!("[{}]", items(row % 3, |item| format!("t{item}")))),
        "both" => text(format!("{{a: {row}, b: {row}}}")),
        "fixed" => text(format!("{row:08x}")),
        "time" => text(format!("1970-01-01T{:02}:{:02}:{:02}", row / 3600, row / 60 % 60, row % 60)),
        _ => Cell::Null,
    }
}

/// All files hold the same rows.
fn tables(folder: &Path) {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 37);
    for file in files {
        let table = Table::read_parquet(&file).unwrap_or_else(|error| panic!("{error}"));
        let name = file.display();
        assert_eq!(table.len(), ROWS, "{name}");
        let floats = |column: &str| table.floats(column).unwrap();
        assert!(floats("id").iter().enumerate().all(|(row, id)| *id == row as f64), "{name}");
        assert!(floats("small").iter().enumerate().all(|(row, small)| *small == (row % 7) as f64), "{name}");
        assert!(floats("x").iter().enumerate().all(|(row, x)| *x == row as f64 * 0.25), "{name}");
        for (row, half) in floats("half").iter().enumerate() {
            assert!(if row % 11 == 0 { half.is_nan() } else { *half == row as f64 * 0.5 }, "{name}: {row}");
        }
        assert!(
            floats("flag").iter().enumerate().all(|(row, flag)| (*flag == 1.0) == (row % 3 == 0)),
            "{name}"
        );
        for column in ["name", "list", "texts", "both", "fixed", "time", "none"] {
            let cells = Cell::all(table.column(column).unwrap());
            assert_eq!(cells.len(), ROWS, "{name}: {column}");
            for (row, cell) in cells.into_iter().enumerate() {
                assert_eq!(cell, expected(column, row), "{name}: {column}[{row}]");
            }
        }
    }
}

/// Pixel (x, y) of image n has the colour (n, 10 x, 20 y).
fn check(data: &Dataset, numbers: impl Iterator<Item = usize>) {
    assert_eq!((data.len(), data.shape(), data.classes()), (30, [3, 6, 8], 3));
    for (row, n) in numbers.enumerate() {
        assert_eq!(usize::from(data.labels()[row]), n % 3);
        let image = &data.images().bytes[row * 144..(row + 1) * 144];
        for (at, byte) in image.iter().enumerate() {
            let (channel, y, x) = (at / 48, at / 8 % 6, at % 8);
            assert_eq!(usize::from(*byte), [n, 10 * x, 20 * y][channel], "image {n}, byte {at}");
        }
    }
}

fn images(folder: &Path) {
    let load = |path: &str, image: Option<&str>, label: Option<&str>| {
        let path = folder.join(path).to_str().unwrap().to_owned();
        Dataset::load(Source::images(&path, image, label))
    };
    // The training files come first; a folder, a glob and a file.
    check(&load("hub", None, None).unwrap(), 0..30);
    check(&load("hub/t*.parquet", None, None).unwrap(), 0..30);
    let train = load("hub/train-*.parquet", Some("image"), Some("label")).unwrap();
    assert_eq!((train.len(), train.labels()[19]), (20, 19 % 3));
    let test = load("hub/test-00000-of-00001.parquet", None, None).unwrap();
    assert_eq!((test.len(), test.images().bytes[0]), (10, 20));
    // Other names: two columns could be meant.
    let refused = |image, label| load("plain.parquet", image, label).map(|_| ()).unwrap_err().to_string();
    assert!(
        refused(None, None)
            .contains("expected one image column, found 2 in [number, picture, other, fine, coarse]")
    );
    assert!(refused(Some("picture"), None).contains("expected one label column, found 0"));
    assert!(refused(Some("pictur"), Some("fine")).contains("no column `pictur`; did you mean `picture`?"));
    for image in ["picture", "other"] {
        check(&load("plain.parquet", Some(image), Some("fine")).unwrap(), 0..30);
    }
}

/// Rows that pack to next to nothing are no attack.
fn long(file: &Path) {
    assert!(file.metadata().unwrap().len() < 200_000);
    let started = Instant::now();
    let table = Table::read_parquet(file).unwrap();
    println!("a million rows of few values: {:?}", started.elapsed());
    assert_soon("a million rows", started.elapsed(), Duration::from_secs(5));
    assert_eq!(table.len(), 1_000_000);
    let names = table.strings("name").unwrap();
    assert_eq!((&names[0][..], &names[999_999][..], names[500_000].len()), ("alpha", "beta", 200_000));
    assert_eq!(table.floats("batch").unwrap()[5], 64.0);
}
