//! Single bits that a disk or a copy changed: an error that names the file, or the same numbers;
//! never others.

use std::fs;
use std::path::{Path, PathBuf};

use kelvin::sweep::{Store, compact};
use kelvin::table::{Cell, Table};

use parquet::file::metadata::ParquetMetaDataReader;

use crate::support::Lab;

/// Flips of every kind of file; the places repeat from one run of the tests to the next.
const FLIPS: usize = 2000;

/// A small sweep that ran.
fn swept() -> (Lab, PathBuf) {
    let lab = Lab::new();
    let run = lab.script(
        "let s = sweep(#{data: digits(), model: linear(), lr: [0.05, 0.1], batch: 50, epochs: 4, \
         train: 200, test: 100, seed: 1});\ns.run(\"out\");",
    );
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let dir = lab.path("out");
    (lab, dir)
}

/// All that a table holds; text, so that NaN equals NaN and bits of floats are told apart.
fn content(table: &Table) -> Vec<String> {
    let columns = table.columns().into_iter();
    columns.map(|name| format!("{name}: {:?}", Cell::all(table.column(name).unwrap()))).collect()
}

/// Flips bits of a file one by one, and reads after each; returns how many were found out.
fn flips<T: PartialEq>(path: &Path, places: &[usize], read: impl Fn() -> Result<T, String>) -> usize {
    let bytes = fs::read(path).unwrap();
    let before = read().unwrap_or_else(|error| panic!("{error}"));
    let name = path.file_name().unwrap().to_str().unwrap();
    let mut found = 0;
    for place in places {
        let mut changed = bytes.clone();
        changed[place / 8] ^= 1 << (place % 8);
        fs::write(path, &changed).unwrap();
        match read() {
            Err(error) => {
                assert!(error.contains(name), "bit {place} of {}: {error}", bytes.len());
                found += 1;
            }
            Ok(after) => assert!(after == before, "bit {place} of {} bytes: other numbers", bytes.len()),
        }
    }
    fs::write(path, bytes).unwrap();
    found
}

/// Where a file's seal is.
fn seal(bytes: &[u8]) -> usize {
    let tail = bytes.len() - 8;
    let footer = u32::from_le_bytes(bytes[tail..tail + 4].try_into().unwrap()) as usize;
    assert_eq!(&bytes[tail - footer - 16..tail - footer - 4], b"kelvin crc32");
    tail - footer - 16
}

/// Bits of a seal's mark. A file where one is flipped has no seal, and the numbers that it had.
const MARK: usize = 12 * 8;

/// Places all over a file, and bit by bit those of the seal, of the footer's length and of the end.
fn places(bytes: &[u8]) -> Vec<usize> {
    let (length, seal) = (bytes.len(), seal(bytes));
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % (length as u64 * 8)) as usize
    };
    let mut places: Vec<usize> = (0..FLIPS).map(|_| next()).collect();
    places.extend(seal * 8..(seal + 16) * 8);
    places.extend((length - 8) * 8..length * 8);
    places
}

fn epochs(dir: &Path) -> Result<Vec<String>, String> {
    let table = Store::open(dir).and_then(|store| store.epochs()).map_err(|error| error.to_string())?;
    Ok(content(&table))
}

fn table(path: &Path) -> Result<Vec<String>, String> {
    Table::read_parquet(path).map(|table| content(&table)).map_err(|error| error.to_string())
}

#[test]
fn no_bit_of_a_metrics_file_flips_unnoticed() {
    let (lab, dir) = swept();
    let (path, bytes) = lab.metrics().swap_remove(0);
    let places = places(&bytes);
    let found = flips(&path, &places, || epochs(&dir));
    assert!(found + MARK + 20 > places.len(), "{found} of {} were found out", places.len());
    // What `runs` reads of it, too.
    flips(&path, &places[..200], || {
        Store::open(&dir)
            .and_then(|store| store.runs())
            .map(|table| content(&table))
            .map_err(|error| error.to_string())
    });
}

#[test]
fn no_bit_of_a_compact_file_or_a_table_flips_unnoticed() {
    let (lab, dir) = swept();
    let path = compact(&dir).unwrap().path;
    let places = places(&fs::read(&path).unwrap());
    let found = flips(&path, &places, || table(&path));
    assert!(found + MARK + 20 > places.len(), "{found} of {} were found out", places.len());
    // A table of a script with texts, nulls and several pages.
    let run = lab.script(
        "let rows = []; for i in 0..3000 { rows.push(#{i: i, x: sqrt(i + 0.0), s: if i % 3 == 0 { () } else { `s${i}` }}); }\n\
         table(rows).write(\"t.parquet\");",
    );
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let path = lab.path("t.parquet");
    let places = self::places(&fs::read(&path).unwrap());
    let found = flips(&path, &places[..400], || table(&path));
    assert!(found > 390, "{found}");
}

/// Files of earlier versions have no seal, and those of other programs none either; pages have
/// their checksums.
#[test]
fn files_without_a_seal_open_and_their_pages_are_checked() {
    let (lab, dir) = swept();
    let before = epochs(&dir).unwrap();
    let (path, bytes) = lab.metrics().swap_remove(0);
    let seal = seal(&bytes);
    let bare = [&bytes[..seal], &bytes[seal + 16..]].concat();
    fs::write(&path, &bare).unwrap();
    assert_eq!(epochs(&dir).unwrap(), before);
    // The last bytes of a column are those of its last page.
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&fs::File::open(&path).unwrap()).unwrap();
    let columns = metadata.row_group(0).columns();
    let (start, length) =
        columns.iter().find(|column| column.column_path().string() == "test_loss").unwrap().byte_range();
    let end = (start + length) as usize;
    let places: Vec<usize> = ((end - 4) * 8..end * 8).collect();
    assert_eq!(flips(&path, &places, || epochs(&dir)), places.len());
}
