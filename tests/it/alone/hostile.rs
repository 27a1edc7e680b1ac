//! Parquet files and images that were made to do harm, or are damaged: each ends in an error, soon,
//! in little memory.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, DictionaryArray, FixedSizeBinaryArray, Float64Array, Int32Array,
    Int64Array, ListArray, RecordBatch, StringArray, StringViewBuilder, StructArray,
};
use arrow::datatypes::{DataType, Field, Int32Type};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, GzipLevel, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder, WriterVersion};

use kelvin::table::Table;

use crate::support::{Lab, assert_soon};

/// What a file may cost that is refused.
const TIME: Duration = Duration::from_secs(2);
const MEMORY: u64 = 1 << 30;

// ---- files of any content, written by hand ----

/// Thrift's compact protocol, written without looking at what is written.
#[derive(Clone, Default)]
struct Thrift {
    bytes: Vec<u8>,
    last: i16,
}

const I32: u8 = 5;
const I64: u8 = 6;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn zigzag(number: i64) -> Vec<u8> {
    varint(((number << 1) ^ (number >> 63)) as u64)
}

impl Thrift {
    fn field(mut self, id: i16, kind: u8, value: &[u8]) -> Self {
        self.bytes.push(((id - self.last) as u8) << 4 | kind);
        self.last = id;
        self.bytes.extend(value);
        self
    }

    fn i32(self, id: i16, number: i64) -> Self {
        self.field(id, I32, &zigzag(number))
    }

    fn i64(self, id: i16, number: i64) -> Self {
        self.field(id, I64, &zigzag(number))
    }

    fn text(self, id: i16, text: &str) -> Self {
        self.field(id, BINARY, &[varint(text.len() as u64), text.as_bytes().to_vec()].concat())
    }

    fn structure(self, id: i16, value: Thrift) -> Self {
        self.field(id, STRUCT, &value.end())
    }

    fn list(self, id: i16, kind: u8, claims: u64, elements: &[Vec<u8>]) -> Self {
        self.field(id, LIST, &[vec![0xf0 | kind], varint(claims), elements.concat()].concat())
    }

    fn structures(self, id: i16, elements: Vec<Thrift>) -> Self {
        let bytes: Vec<Vec<u8>> = elements.into_iter().map(Thrift::end).collect();
        self.list(id, STRUCT, bytes.len() as u64, &bytes)
    }

    fn end(mut self) -> Vec<u8> {
        self.bytes.push(0);
        self.bytes
    }
}

const INT32: i64 = 1;
const INT64: i64 = 2;
const BYTE_ARRAY: i64 = 6;
const FIXED: i64 = 7;

const PLAIN: i64 = 0;
const RLE: i64 = 3;
const DELTA_BINARY_PACKED: i64 = 5;
const DELTA_LENGTH: i64 = 6;
const RLE_DICTIONARY: i64 = 8;

const UNCOMPRESSED: i64 = 0;
const SNAPPY: i64 = 1;
const GZIP: i64 = 2;
const LZ4: i64 = 5;
const ZSTD: i64 = 6;

/// A page with its header.
fn page(kind: i64, id: i16, values: i64, encoding: i64, claims: i64, body: &[u8]) -> Vec<u8> {
    let mut own = Thrift::default().i32(1, values).i32(2, encoding);
    if kind == 0 {
        own = own.i32(3, RLE).i32(4, RLE);
    }
    let header = Thrift::default().i32(1, kind).i32(2, claims).i32(3, body.len() as i64).structure(id, own);
    [header.end(), body.to_vec()].concat()
}

fn data(values: i64, encoding: i64, claims: i64, body: &[u8]) -> Vec<u8> {
    page(0, 5, values, encoding, claims, body)
}

fn dictionary(values: i64, claims: i64, body: &[u8]) -> Vec<u8> {
    page(2, 7, values, PLAIN, claims, body)
}

/// A file of one column.
struct Crafted {
    kind: i64,
    /// 0: required, 1: optional, 2: repeated.
    repetition: i64,
    length: i64,
    codec: i64,
    rows: i64,
    pages: Vec<Vec<u8>>,
    has_dictionary: bool,
    /// How many row groups say that these pages are theirs.
    groups: usize,
}

impl Default for Crafted {
    fn default() -> Self {
        Self {
            kind: INT32,
            repetition: 0,
            length: 0,
            codec: UNCOMPRESSED,
            rows: 1,
            pages: Vec::new(),
            has_dictionary: false,
            groups: 1,
        }
    }
}

impl Crafted {
    fn file(self) -> Vec<u8> {
        let pages = self.pages.concat();
        let mut about = Thrift::default()
            .i32(1, self.kind)
            .list(2, I32, 1, &[zigzag(PLAIN)])
            .list(3, BINARY, 1, &[[varint(1), b"x".to_vec()].concat()])
            .i32(4, self.codec)
            .i64(5, self.rows)
            .i64(6, pages.len() as i64)
            .i64(7, pages.len() as i64)
            .i64(9, 4);
        if self.has_dictionary {
            about = about.i64(11, 4);
        }
        let chunk = Thrift::default().i64(2, 4).structure(3, about);
        let group = Thrift::default().structures(1, vec![chunk]).i64(2, pages.len() as i64).i64(3, self.rows);
        let column =
            Thrift::default().i32(1, self.kind).i32(2, self.length).i32(3, self.repetition).text(4, "x");
        let root = Thrift::default().text(4, "schema").i32(5, 1);
        whole(&pages, vec![root, column], self.rows, vec![group; self.groups])
    }
}

fn whole(pages: &[u8], schema: Vec<Thrift>, rows: i64, groups: Vec<Thrift>) -> Vec<u8> {
    let metadata = Thrift::default().i32(1, 1).structures(2, schema).i64(3, rows).structures(4, groups);
    finish(pages, &metadata.end())
}

/// Magic, pages, metadata, their length, magic.
fn finish(pages: &[u8], metadata: &[u8]) -> Vec<u8> {
    [b"PAR1", pages, metadata, &(metadata.len() as u32).to_le_bytes()[..], b"PAR1"].concat()
}

// ---- files of a real writer ----

fn written(columns: Vec<(&str, ArrayRef)>, properties: WriterProperties) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, column)| (name, column, true)),
    )
    .unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

fn properties() -> WriterPropertiesBuilder {
    WriterProperties::builder()
}

/// Small files in all the ways that the readers know.
fn small_files() -> Vec<Vec<u8>> {
    let n = 60;
    let ints: ArrayRef = Arc::new(Int64Array::from_iter((0..n).map(|i| (i % 7 != 0).then_some(i * 3))));
    let floats: ArrayRef = Arc::new(Float64Array::from_iter_values((0..n).map(|i| i as f64 * 0.1)));
    let flags: ArrayRef = Arc::new(BooleanArray::from_iter((0..n).map(|i| Some(i % 3 == 0))));
    let texts: ArrayRef =
        Arc::new(StringArray::from_iter((0..n).map(|i| (i % 5 != 0).then(|| format!("text {}", i % 9)))));
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(
        (0..n).map(|i| (i % 4 != 0).then(|| (0..i as i32 % 5).map(Some))),
    ));
    let fixed: ArrayRef =
        Arc::new(FixedSizeBinaryArray::try_from_iter((0..n).map(|i| [i as u8; 5])).unwrap());
    let columns = || {
        vec![
            ("ints", ints.clone()),
            ("floats", floats.clone()),
            ("flags", flags.clone()),
            ("texts", texts.clone()),
            ("lists", lists.clone()),
            ("fixed", fixed.clone()),
        ]
    };
    let delta = properties()
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_dictionary_enabled(false)
        .set_compression(Compression::GZIP(GzipLevel::default()))
        .set_column_encoding("texts".into(), Encoding::DELTA_BYTE_ARRAY)
        .set_column_encoding("ints".into(), Encoding::DELTA_BINARY_PACKED);
    let lengths = properties()
        .set_dictionary_enabled(false)
        .set_compression(Compression::LZ4_RAW)
        .set_column_encoding("texts".into(), Encoding::DELTA_LENGTH_BYTE_ARRAY)
        .set_column_encoding("floats".into(), Encoding::BYTE_STREAM_SPLIT);
    let image: ArrayRef = Arc::new(BinaryArray::from_iter_values((0..12).map(|i| png(8, 8, i as u8))));
    let field = Arc::new(Field::new("bytes", DataType::Binary, true));
    let image: ArrayRef = Arc::new(StructArray::from(vec![(field, image)]));
    let labels: ArrayRef = Arc::new(Int64Array::from_iter_values((0..12).map(|i| i % 3)));
    vec![
        written(columns(), properties().build()),
        written(columns(), properties().set_compression(Compression::SNAPPY).build()),
        written(columns(), properties().set_compression(Compression::ZSTD(ZstdLevel::default())).build()),
        written(columns(), delta.build()),
        written(columns(), lengths.build()),
        written(vec![("image", image), ("label", labels)], properties().build()),
    ]
}

/// A PNG file of one colour.
fn png(width: u32, height: u32, grey: u8) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::GrayImage::from_pixel(width, height, image::Luma([grey]))
        .write_to(&mut bytes, image::ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

/// A PNG file whose header says something else than is in it.
fn lying_png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = png(8, 8, 1);
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let sum = crc32fast::hash(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// The same text in every row, in memory once.
fn repeated(text: &str, rows: usize) -> ArrayRef {
    let mut builder = StringViewBuilder::new().with_deduplicate_strings();
    (0..rows).for_each(|_| builder.append_value(text));
    Arc::new(builder.finish())
}

/// The same image in every row, in a file that holds it once.
fn images(image: &[u8], rows: usize) -> Vec<u8> {
    let keys = Int32Array::from(vec![0; rows]);
    let images = DictionaryArray::new(keys, Arc::new(BinaryArray::from_iter_values([image])));
    let labels: ArrayRef = Arc::new(Int64Array::from(vec![0; rows]));
    written(vec![("image", Arc::new(images)), ("label", labels)], properties().build())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Reads a file with both readers, in a process of its own, which says what they said.
fn read(lab: &Lab, name: &str, file: &[u8]) -> Vec<String> {
    let path = lab.write(&format!("{}.parquet", name.replace([' ', ','], "_")), file);
    let script = format!(
        "for read in [|f| parquet(f).len, |f| images(f).len] {{\n\
             try {{ print(`READ ${{read.call(\"{}\")}}`); }} catch (error) {{ print(error); }}\n\
         }}",
        path.display()
    );
    let run = lab.run(["-e", &script]);
    println!("{name}: {} MB, {:?}: {}", run.peak >> 20, run.cpu, run.stdout);
    assert_eq!((run.code, &run.stderr[..]), (Some(0), ""), "{name}: {}", run.stdout);
    // Both readers together, with the start of the program.
    assert_soon(name, run.cpu, TIME);
    assert!(run.peak < MEMORY, "{name}: {} MB", run.peak >> 20);
    run.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn what_headers_claim_is_not_believed() {
    let mebi = 1 << 20;
    // 64 MB of zeros, 40 times.
    let gzip_bomb = gzip(&vec![0; 64 * mebi]).repeat(40);
    let long_text = "x".repeat(mebi);
    let texts = DictionaryArray::new(
        Int32Array::from(vec![0; 10_000]),
        Arc::new(StringArray::from_iter_values([&long_text])),
    );
    let run_of = |values: u64| [&[2, 0, 0, 0][..], &varint(values << 1), &[1]].concat();
    let levels = |values: u64| {
        let run = [varint(values << 1), vec![1]].concat();
        [&(run.len() as u32).to_le_bytes()[..], &run].concat()
    };
    let most = i64::from(i32::MAX);
    let int = |values, encoding, claims, body: &[u8]| Crafted {
        rows: values,
        pages: vec![data(values, encoding, claims, body)],
        ..Crafted::default()
    };
    let text = |values, encoding, body: &[u8]| Crafted {
        kind: BYTE_ARRAY,
        ..int(values, encoding, body.len() as i64, body)
    };
    let root = |children| Thrift::default().text(4, "schema").i32(5, children);
    let deep = |depth: usize| {
        let group = Thrift::default().i32(3, 0).text(4, "g").i32(5, 1);
        let leaf = Thrift::default().i32(1, INT32).i32(3, 0).text(4, "x");
        let mut schema = vec![root(1)];
        schema.extend(vec![group; depth]);
        schema.push(leaf);
        whole(b"", schema, 0, Vec::new())
    };
    let sound = int(3, PLAIN, 12, &[1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0]).file();
    let ending = |length: u32| {
        let mut file = sound.clone();
        let at = file.len() - 8;
        file[at..at + 4].copy_from_slice(&length.to_le_bytes());
        file
    };
    let snappy = |claims: i64| Crafted {
        codec: SNAPPY,
        ..int(3, PLAIN, claims, &[varint(claims as u64), vec![0; 9]].concat())
    };
    let with_dictionary = |kind, repetition, values, page: Vec<u8>, body: &[u8]| Crafted {
        kind,
        repetition,
        rows: values,
        pages: vec![page, data(values, RLE_DICTIONARY, body.len() as i64, body)],
        has_dictionary: true,
        ..Crafted::default()
    };
    let header = |block: u64, parts: u64, values: u64| {
        [varint(block), varint(parts), varint(values), varint(2), vec![0; 40]].concat()
    };
    let zeros = |length: usize| vec![0; length];
    let flags = |count: u64| {
        // A list of flags, of which no byte follows, in a field that no reader knows.
        let metadata =
            Thrift::default().i32(1, 1).structures(2, vec![root(0)]).i64(3, 0).structures(4, vec![]);
        let lists: Vec<Vec<u8>> = (0..2000).map(|_| [vec![0xf1], varint(count)].concat()).collect();
        finish(b"", &metadata.list(12, LIST, lists.len() as u64, &lists).end())
    };
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("nothing", Vec::new(), "it has 0 bytes"),
        ("text", b"this is no Parquet file".to_vec(), "does not end with PAR1"),
        ("magic alone", b"PAR1PAR1PAR1".to_vec(), "metadata claim"),
        ("metadata longer than the file", ending(sound.len() as u32), "metadata claim"),
        ("metadata of 4 GB", ending(u32::MAX), "metadata claim"),
        ("no metadata", ending(0), "metadata are broken"),
        ("half of the file", sound[sound.len() / 2..].to_vec(), "metadata claim"),
        ("columns claimed", whole(b"", vec![root(most)], 0, vec![]), "claims 2147483647 columns"),
        (
            "columns missing",
            whole(b"", vec![root(2), Thrift::default().i32(1, INT32).i32(3, 0).text(4, "x")], 0, vec![]),
            "claims 2 columns",
        ),
        ("no columns", whole(b"", vec![root(0)], most, vec![]), "no columns"),
        ("nested", deep(1000), "nested more than 32 deep"),
        ("very nested", deep(200_000), "expected at most 10000"),
        ("flags", flags(u64::from(u32::MAX >> 1)), "metadata are broken"),
        (
            "lists claimed",
            finish(b"", &Thrift::default().i32(1, 1).list(2, STRUCT, 1 << 30, &[]).end()),
            "metadata are broken",
        ),
        (
            "groups claimed",
            finish(
                b"",
                &Thrift::default()
                    .i32(1, 1)
                    .structures(2, vec![root(0)])
                    .i64(3, 0)
                    .list(4, STRUCT, 1 << 30, &[])
                    .end(),
            ),
            "metadata are broken",
        ),
        (
            "rows",
            Crafted { rows: 1 << 60, ..int(3, PLAIN, 12, &zeros(12)) }.file(),
            "3 values in 1152921504606846976 rows",
        ),
        ("snappy of 2 GB", snappy(most).file(), "unpack to 2147 MB"),
        ("zstd of 2 GB", Crafted { codec: ZSTD, ..snappy(most) }.file(), "unpack to 2147 MB"),
        (
            "more than the file",
            {
                let mut page = data(3, PLAIN, 12, &zeros(12));
                page[5] = 0x7e;
                Crafted { rows: 3, pages: vec![page], ..Crafted::default() }.file()
            },
            "a page claims",
        ),
        (
            "gzip, more than it says",
            Crafted { codec: GZIP, ..int(3, PLAIN, 12, &gzip_bomb) }.file(),
            "unpacks to other than that",
        ),
        (
            "gzip, as much as it says",
            Crafted { codec: GZIP, ..int(3, PLAIN, most, &gzip_bomb) }.file(),
            "unpack to 2147 MB",
        ),
        (
            "LZ4, more than it says",
            Crafted { codec: LZ4, ..int(3, PLAIN, 12, &[&[4, 0x22, 0x4d, 0x18][..], &zeros(99)].concat()) }
                .file(),
            "LZ4 frames",
        ),
        (
            "zstd, true",
            written(
                vec![("x", repeated(&long_text, 300))],
                properties()
                    .set_dictionary_enabled(false)
                    .set_compression(Compression::ZSTD(ZstdLevel::default()))
                    .build(),
            ),
            "MB",
        ),
        (
            "numbers, true",
            with_dictionary(
                INT64,
                0,
                most,
                dictionary(1, 8, &zeros(8)),
                &[vec![1], varint(u64::from(u32::MAX >> 1) << 1), vec![0]].concat(),
            )
            .file(),
            "its values unpack to 17179 MB",
        ),
        (
            "dictionary",
            with_dictionary(INT64, 0, 1, dictionary(most, 8, &zeros(8)), &[1, 2, 0]).file(),
            "dictionary claims 2147483647 values in 8 bytes",
        ),
        (
            "dictionary of texts",
            with_dictionary(BYTE_ARRAY, 0, 1, dictionary(most, 8, &zeros(8)), &[1, 2, 0]).file(),
            "dictionary claims",
        ),
        (
            "text longer than its dictionary",
            with_dictionary(BYTE_ARRAY, 0, 1, dictionary(1, 2000, &[255; 2000]), &[1, 2, 0]).file(),
            "goes beyond its end",
        ),
        (
            "text longer than its short dictionary",
            with_dictionary(BYTE_ARRAY, 0, 1, dictionary(1, 8, &[255; 8]), &[1, 2, 0]).file(),
            "eof decoding",
        ),
        (
            "texts, true",
            written(
                vec![("x", Arc::new(texts))],
                properties().set_dictionary_page_size_limit(2 * mebi).build(),
            ),
            "its rows unpack",
        ),
        (
            "prefixes, true",
            written(
                vec![("x", repeated(&long_text[..100_000], 10_000))],
                properties()
                    .set_dictionary_enabled(false)
                    .set_column_encoding("x".into(), Encoding::DELTA_BYTE_ARRAY)
                    .build(),
            ),
            "unpack",
        ),
        (
            "differences",
            text(3, DELTA_LENGTH, &header(128, 4, 1 << 40)).file(),
            "claims 1099511627776 differences",
        ),
        ("blocks", text(3, DELTA_LENGTH, &header(1 << 50, 1 << 40, 3)).file(), "differences is broken"),
        (
            "numbers in blocks",
            int(3, DELTA_BINARY_PACKED, 48, &header(1 << 50, 1 << 40, 3)).file(),
            "differences is broken",
        ),
        (
            "one row",
            Crafted {
                rows: 1,
                repetition: 2,
                pages: vec![data(
                    most,
                    RLE,
                    32,
                    &[levels(most as u64), levels(most as u64), run_of(most as u64)].concat(),
                )],
                ..Crafted::default()
            }
            .file(),
            "its values unpack",
        ),
        (
            "long nulls",
            Crafted {
                kind: FIXED,
                length: most,
                repetition: 1,
                ..int(1000, PLAIN, 7, &[3, 0, 0, 0, 0xd0, 0x0f, 0])
            }
            .file(),
            "its values unpack",
        ),
        (
            "one over another",
            Crafted { groups: 20_000, ..int(500, PLAIN, 2000, &zeros(2000)) }.file(),
            "lie over one another",
        ),
        (
            "very small pages",
            Crafted { rows: 0, pages: vec![data(0, PLAIN, 0, b""); 400_000], ..Crafted::default() }.file(),
            "pages in a file",
        ),
    ];
    let lab = Lab::new();
    let mut wrong = Vec::new();
    for (name, bytes, says) in cases {
        let said = read(&lab, name, &bytes);
        let refused = |said: &String| said.contains(".parquet: ") && !said.contains("READ");
        if said.len() != 2 || !said.iter().all(refused) || !said[0].contains(says) {
            wrong.push(format!("{name}: expected `{says}`, found {said:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The writer of this test writes what readers read.
    assert_eq!(read(&lab, "sound", &sound)[0], "READ 3");
}

/// Ordinary tables of few values pack to almost nothing, kelvin's own among them.
#[test]
fn repetitive_tables_are_read() {
    let lab = Lab::new();
    let n = 2_000_000;
    let columns: Vec<(String, ArrayRef)> = (0..14)
        .map(|column| {
            let values =
                Float64Array::from_iter_values((0..n).map(|row| ((row / 100_000) % (2 + column)) as f64));
            (format!("c{column}"), Arc::new(values) as ArrayRef)
        })
        .collect();
    let path = lab.path("own.parquet");
    Table::new(RecordBatch::try_from_iter(columns).unwrap()).write(&path).unwrap();
    assert!(path.metadata().unwrap().len() < 1_000_000);
    let run = lab.run(["-e", "parquet(\"own.parquet\").len"]);
    println!("2,000,000 rows: {} MB, {:?}", run.peak >> 20, run.cpu);
    assert_eq!((run.code, &run.stdout[..], &run.stderr[..]), (Some(0), "2000000\n", ""));
    assert!(run.peak < MEMORY, "{} MB", run.peak >> 20);
}

/// A folder of small files may not hold what one of them may not.
#[test]
fn many_files_have_one_allowance() {
    let lab = Lab::new();
    let zeros: ArrayRef = Arc::new(Int64Array::from(vec![0; 10_000_000]));
    let file = written(vec![("x", zeros)], properties().build());
    for number in 0..20 {
        lab.write(&format!("many/{number:02}.parquet"), &file);
    }
    let run = lab.run(["-e", "parquet(\"many\").len"]);
    println!("20 files: {} MB, {:?}", run.peak >> 20, run.cpu);
    assert!(
        run.code == Some(1) && run.stderr.contains("many/03.parquet: with the files before it"),
        "{}",
        run.stderr
    );
    assert!(run.peak < MEMORY, "{} MB", run.peak >> 20);
    // So for images.
    let file = images(&png(1024, 1024, 3), 100);
    for number in 0..20 {
        lab.write(&format!("images/{number:02}.parquet"), &file);
    }
    let run = lab.run(["-e", "images(\"images\").len"]);
    assert!(run.code == Some(1) && run.stderr.contains("images/02.parquet"), "{}", run.stderr);
    assert!(run.peak < MEMORY, "{} MB", run.peak >> 20);
}

#[test]
fn images_that_unpack_to_more_than_they_should_are_refused() {
    let jpeg = {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image::RgbImage::new(64, 64).write_to(&mut bytes, image::ImageFormat::Jpeg).unwrap();
        bytes.into_inner()
    };
    // Its only scan, thousands of times.
    let scan = jpeg.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
    let scans = [&jpeg[..scan], &jpeg[scan..jpeg.len() - 2].repeat(20_000), &[0xff, 0xd9]].concat();
    let cases = [
        ("wide", images(&lying_png(100_000, 100_000), 2), "image 0: "),
        ("widest", images(&lying_png(u32::MAX >> 1, u32::MAX >> 1), 2), "image 0: "),
        ("more than there is", images(&lying_png(1000, 1000), 2), "image 0: "),
        ("one again and again", images(&png(1024, 1024, 3), 4000), "the images unpack to more than 251 MB"),
        ("one all the time", images(&png(1, 1, 3), 1_000_000), "rows of images in"),
        ("scans", images(&scans, 2), "a JPEG of 20000 scans"),
        ("half", images(&png(64, 64, 3)[..60], 2), "image 0: "),
        ("text", images(b"no image at all", 2), "image 0: "),
    ];
    let lab = Lab::new();
    for (name, bytes, says) in cases {
        let said = read(&lab, name, &bytes);
        assert!(said[1].contains(says), "{name}: expected `{says}`, found `{}`", said[1]);
    }
}

/// Every byte of the metadata and the first and last bytes of the pages changed in several ways,
/// and bytes anywhere changed at random: each file is read or refused, and the program goes on.
#[test]
fn damaged_files_never_end_the_program() {
    let lab = Lab::new();
    let mut state = 1u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % below as u64) as usize
    };
    let mut count = 0;
    let mut save = |bytes: &[u8]| {
        lab.write(&format!("files/{count:05}.parquet"), bytes);
        count += 1;
    };
    for (number, file) in small_files().into_iter().enumerate() {
        save(&file);
        let metadata = file.len()
            - 8
            - u32::from_le_bytes(file[file.len() - 8..file.len() - 4].try_into().unwrap()) as usize;
        // Every third byte of the metadata by turns: the others in the other files.
        for at in (metadata + number % 3..file.len()).step_by(3) {
            let mut damaged = file.clone();
            damaged[at] = match random(4) {
                0 => damaged[at] ^ 1 << random(8),
                1 => 0xff,
                2 => 0,
                _ => random(256) as u8,
            };
            save(&damaged);
        }
        for _ in 0..200 {
            let mut damaged = file.clone();
            for _ in 0..=random(4) {
                let at = random(metadata);
                damaged[at] = random(256) as u8;
            }
            save(&damaged);
        }
        for _ in 0..20 {
            let cut = random(file.len());
            save(&file[..cut]);
            save(&[&file[..cut], &file[cut + random(file.len() - cut)..]].concat());
        }
    }
    let script = r#"
        let worst = 0.0;
        let read = 0;
        for i in 0..COUNT {
            let digits = `${i}`;
            while digits.len < 5 { digits = "0" + digits; }
            let file = `files/${digits}.parquet`;
            for reader in [|f| parquet(f), |f| images(f)] {
                let start = timestamp();
                try { reader.call(file); read += 1; } catch (error) {
                    if !error.contains(file) && !error.contains("data set is empty") { print(`${file}: ${error}`); }
                }
                if start.elapsed > worst { worst = start.elapsed; }
            }
        }
        print(`${read} read, SECONDS ${worst}`);
    "#;
    let run = lab.script(&script.replace("COUNT", &count.to_string()));
    println!("{count} files, {} MB, {:?}: {}", run.peak >> 20, run.time, run.stdout);
    assert_eq!((run.code, &run.stderr[..]), (Some(0), ""), "{}", run.stdout);
    assert!(run.peak < MEMORY, "{} MB", run.peak >> 20);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines.len(), 1, "messages without the file's name: {}", run.stdout);
    let (read, seconds) = lines[0].split_once(" read, SECONDS ").unwrap();
    assert_soon("the slowest file", Duration::from_secs_f64(seconds.parse().unwrap()), TIME);
    // The undamaged ones, and some whose damage does not matter.
    let read: usize = read.parse().unwrap();
    assert!(read >= 7 && read < count, "{read} of {count}");
}
