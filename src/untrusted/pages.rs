//! The pages of a Parquet file: what their headers claim, against the length of the file.

use std::io::Read;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use parquet::basic::{Compression, Type};
use parquet::column::page::{Page, PageReader};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::reader::SerializedPageReader;
use parquet::schema::types::ColumnDescriptor;

use super::input::Input;
use super::thrift::{Thrift, kind};
use super::{Checked, allowance, delta, too_much};

/// Pages of any file, and pages per so many bytes of it, at most: each takes time however small it
/// is.
const PAGES: u64 = 1 << 16;
const BYTES_PER_PAGE: u64 = 256;

/// Bytes of a page's header, at most; it may hold the least and the greatest value.
const LONGEST_HEADER: u64 = 16 << 20;

/// Bytes that are read first where a header is.
const HEADER: u64 = 1 << 10;

/// Bytes of a dictionary that may be one text without harm, where a row has one.
const SHORT: u64 = 1 << 10;

/// How long the rows of a file may be.
#[derive(Default)]
pub(super) struct Weights {
    /// Bytes of each column's values, decoded, at most.
    columns: Vec<u64>,
}

impl Weights {
    /// Bytes of a row, at most.
    pub(super) fn row(&self) -> u64 {
        self.columns.iter().fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }
}

/// What a page's header says: `PageHeader` of the format.
struct Header {
    kind: i32,
    /// Bytes when unpacked, with the levels.
    unpacked: u64,
    /// Bytes in the file.
    packed: u64,
    /// Values of a page of data or of a dictionary.
    values: u64,
    encoding: i32,
    /// The bytes of the levels in a page of the second version, which are never packed; without
    /// them where all is plain.
    levels: u64,
    is_packed: bool,
}

const DATA: i32 = 0;
const INDEX: i32 = 1;
const DICTIONARY: i32 = 2;
const DATA_2: i32 = 3;

const DELTA_BINARY_PACKED: i32 = 5;
const DELTA_BYTE_ARRAY: i32 = 7;

/// Sums over a whole file.
struct Totals {
    length: u64,
    pages: u64,
    /// Bytes of the column chunks in the file.
    packed: u64,
    /// Bytes of the pages when unpacked.
    unpacked: u64,
    /// Bytes of the values, decoded, as far as each has the same number.
    decoded: u64,
}

/// Checks every page that a reader of the file would unpack, and tells how long rows may be.
pub(super) fn check(input: &Input, metadata: &ParquetMetaData) -> Checked<Weights> {
    let columns = metadata.file_metadata().schema_descr().columns();
    if columns.is_empty() {
        return Err("it has no columns".to_owned());
    }
    let mut weights = Weights { columns: columns.iter().map(|column| decoded(column)).collect() };
    let mut totals = Totals { length: input.length(), pages: 0, packed: 0, unpacked: 0, decoded: 0 };
    for group in metadata.row_groups() {
        for ((chunk, column), weight) in group.columns().iter().zip(columns).zip(&mut weights.columns) {
            crate::interrupt::check().map_err(|error| error.to_string())?;
            let longest = chunk_check(input, chunk, column, group.num_rows(), &mut totals)
                .map_err(|error| format!("column `{}`: {error}", column.path().string()))?;
            *weight = (*weight).max(decoded(column).saturating_add(longest));
        }
    }
    Ok(weights)
}

/// Bytes of a value, without the contents of texts.
fn width(column: &ColumnDescriptor) -> u64 {
    match column.physical_type() {
        Type::BOOLEAN => 1,
        Type::INT32 | Type::FLOAT | Type::BYTE_ARRAY => 4,
        Type::INT64 | Type::DOUBLE => 8,
        Type::INT96 => 12,
        Type::FIXED_LEN_BYTE_ARRAY => column.type_length().max(1) as u64,
    }
}

/// Bytes of a decoded value with its levels, of which nested columns have two.
fn decoded(column: &ColumnDescriptor) -> u64 {
    width(column) + if column.max_rep_level() > 0 { 4 } else { 0 }
}

/// Checks one column of one row group; what it returns is how long the longest text may be that
/// many rows share.
fn chunk_check(
    input: &Input,
    chunk: &ColumnChunkMetaData,
    column: &ColumnDescriptor,
    rows: i64,
    totals: &mut Totals,
) -> Checked<u64> {
    let start = chunk.dictionary_page_offset().unwrap_or_else(|| chunk.data_page_offset());
    let (start, length) = match (u64::try_from(start), u64::try_from(chunk.compressed_size())) {
        (Ok(start), Ok(length)) => (start, length),
        _ => return Err("its place in the file is negative".to_owned()),
    };
    let end = start.checked_add(length).filter(|end| *end <= totals.length);
    let end = end.ok_or_else(|| format!("{length} bytes from {start} on lie outside of the file"))?;
    totals.packed = totals.packed.saturating_add(length);
    if totals.packed > totals.length {
        return Err("columns lie over one another".to_owned());
    }
    let (mut at, mut values, mut pages) = (start, 0u64, 0u64);
    let mut dictionary = None;
    let mut delta = 0;
    while at < end {
        let (header, size) = header(input, at, end)?;
        at += size;
        if header.packed > end - at {
            return Err(format!("a page claims {} bytes, {} are left", header.packed, end - at));
        }
        totals.pages += 1;
        if totals.pages > PAGES + totals.length / BYTES_PER_PAGE {
            return Err(format!("more than {} pages in a file of {} bytes", totals.pages - 1, totals.length));
        }
        totals.unpacked = totals.unpacked.saturating_add(header.unpacked);
        if totals.unpacked > allowance(totals.length) {
            return Err(too_much("its pages", totals.unpacked, totals.length));
        }
        match header.kind {
            DATA | DATA_2 => {
                values = values.saturating_add(header.values);
                if (DELTA_BINARY_PACKED..=DELTA_BYTE_ARRAY).contains(&header.encoding) {
                    delta = delta.max(header.encoding);
                }
                if header.encoding == DELTA_BYTE_ARRAY {
                    dictionary = dictionary.max(Some(header.unpacked));
                }
            }
            DICTIONARY if pages > 0 => return Err("a dictionary comes after other pages".to_owned()),
            DICTIONARY => {
                // A text is preceded by four bytes with its length.
                if header.values.saturating_mul(width(column)) > header.unpacked {
                    return Err(format!(
                        "a dictionary claims {} values in {} bytes",
                        header.values, header.unpacked
                    ));
                }
                dictionary = Some(header.unpacked);
            }
            INDEX => {}
            kind => return Err(format!("a page of the unknown kind {kind}")),
        }
        inflates(input, chunk, &header, at)?;
        pages += 1;
        at += header.packed;
    }
    if column.max_rep_level() == 0 && u64::try_from(rows) != Ok(values) {
        return Err(format!("{values} values in {rows} rows"));
    }
    totals.decoded = totals.decoded.saturating_add(values.saturating_mul(decoded(column)));
    if totals.decoded > allowance(totals.length) {
        return Err(too_much("its values", totals.decoded, totals.length));
    }
    if column.physical_type() != Type::BYTE_ARRAY {
        dictionary = None;
    }
    let longest = match dictionary {
        // Only a part of the file in any case; a short one is not worth a look, unless a row may
        // have it many times.
        Some(unpacked) if delta == 0 && (unpacked > SHORT || column.max_rep_level() > 0) => {
            longest_text(input, chunk)?
        }
        Some(unpacked) => unpacked,
        None => 0,
    };
    if delta > 0 {
        delta_pages(input, chunk, column)?;
    }
    // One row of a nested column may hold all of its values.
    if column.max_rep_level() > 0 {
        let all = values.saturating_mul(longest);
        totals.decoded = totals.decoded.saturating_add(all);
        if totals.decoded > allowance(totals.length) {
            return Err(too_much("its lists of texts", totals.decoded, totals.length));
        }
    }
    Ok(longest)
}

/// The header of the page at a position, and its length.
fn header(input: &Input, at: u64, end: u64) -> Checked<(Header, u64)> {
    let mut size = HEADER;
    loop {
        let available = size.min(end - at);
        let bytes = input.bytes(at, available as usize)?;
        let mut thrift = Thrift::new(&bytes);
        if let Some(header) = parse(&mut thrift) {
            let length = thrift.position() as u64;
            return header.map(|header| (header, length));
        }
        if available < size || size >= LONGEST_HEADER {
            return Err("a page's header is broken".to_owned());
        }
        size *= 16;
    }
}

/// Nothing where the bytes end before the header does, or make no sense.
fn parse(thrift: &mut Thrift) -> Option<Checked<Header>> {
    let (mut page, mut unpacked, mut packed) = (None, None, None);
    let mut data = Data::default();
    let mut last = 0;
    while let Some((field, kind)) = thrift.field(&mut last)? {
        match (field, kind) {
            (1, kind::I32) => page = Some(thrift.i32()?),
            (2, kind::I32) => unpacked = Some(thrift.i32()?),
            (3, kind::I32) => packed = Some(thrift.i32()?),
            (4, kind::I32) => thrift.skip(kind)?,
            (5, kind::STRUCT) => data = Data::parse(thrift, Form::Data)?,
            (7, kind::STRUCT) => data = Data::parse(thrift, Form::Dictionary)?,
            (8, kind::STRUCT) => data = Data::parse(thrift, Form::Data2)?,
            (6, kind::STRUCT) => thrift.skip(kind)?,
            // Known fields have their types.
            (1..=8, _) => return None,
            _ => thrift.skip(kind)?,
        }
    }
    let count = |number: Option<i32>| number.and_then(|number| u64::try_from(number).ok());
    let (Some(kind), Some(unpacked), Some(packed)) = (page, count(unpacked), count(packed)) else {
        return Some(Err("a page's header lacks its kind or sizes, or they are negative".to_owned()));
    };
    let (Some(values), Some(levels)) = (count(Some(data.values)), count(Some(data.levels))) else {
        return Some(Err("a page claims a negative number of values".to_owned()));
    };
    let Data { encoding, is_packed, .. } = data;
    Some(Ok(Header { kind, unpacked, packed, values, encoding, levels, is_packed }))
}

/// The part of a header that depends on the kind of the page.
struct Data {
    values: i32,
    encoding: i32,
    levels: i32,
    is_packed: bool,
}

impl Default for Data {
    fn default() -> Self {
        Self { values: 0, encoding: 0, levels: 0, is_packed: true }
    }
}

/// Which of the three.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    /// `DataPageHeader`.
    Data,
    /// `DictionaryPageHeader`.
    Dictionary,
    /// `DataPageHeaderV2`.
    Data2,
}

impl Data {
    fn parse(thrift: &mut Thrift, form: Form) -> Option<Self> {
        // The numbers come first; then one of two has a flag.
        let (numbers, flag, encoding) = match form {
            Form::Data => (4, 0, 2),
            Form::Dictionary => (2, 3, 2),
            Form::Data2 => (6, 7, 4),
        };
        let mut data = Self::default();
        let mut last = 0;
        while let Some((field, kind)) = thrift.field(&mut last)? {
            match (field, kind) {
                (1, kind::I32) => data.values = thrift.i32()?,
                (field, kind::I32) if field == encoding => data.encoding = thrift.i32()?,
                (5 | 6, kind::I32) if form == Form::Data2 => {
                    data.levels = data.levels.checked_add(thrift.i32()?)?;
                }
                (1..=6, kind::I32) if field <= numbers => thrift.skip(kind)?,
                (_, kind::TRUE | kind::FALSE) if field == flag => data.is_packed = kind == kind::TRUE,
                // Known fields have their types.
                (1..=7, _) if field <= numbers || field == flag => return None,
                _ => thrift.skip(kind)?,
            }
        }
        // The flag of a dictionary says whether it is sorted.
        Some(Self { is_packed: data.is_packed || form != Form::Data2, ..data })
    }
}

/// Checks that a page unpacks to what its header says, where the codec would go on for ever: gzip,
/// and the old form of LZ4 that is a frame.
fn inflates(input: &Input, chunk: &ColumnChunkMetaData, header: &Header, at: u64) -> Checked<()> {
    if !header.is_packed || header.unpacked == header.levels {
        return Ok(());
    }
    let body = || {
        let packed = header.packed.checked_sub(header.levels).ok_or("a page is shorter than its levels")?;
        input.bytes(at + header.levels, packed as usize)
    };
    match chunk.compression() {
        Compression::GZIP(_) => {
            let most = header.unpacked.saturating_sub(header.levels);
            let body = body()?;
            let mut sink = std::io::sink();
            let unpacked = std::io::copy(&mut MultiGzDecoder::new(&body[..]).take(most + 1), &mut sink)
                .map_err(|error| format!("a page cannot be unpacked: {error}"))?;
            if unpacked != most {
                return Err(format!("a page of {most} bytes unpacks to other than that"));
            }
            Ok(())
        }
        Compression::LZ4 => {
            // 0x184D2204 begins a frame; 0x184C2102 an old one.
            let body = body()?;
            if body.get(2..4).is_some_and(|magic| matches!(magic, [0x4d | 0x4c, 0x18])) {
                return Err(
                    "LZ4 frames, which do not say how long they are; write the file anew with another codec"
                        .into(),
                );
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn pages(input: &Input, chunk: &ColumnChunkMetaData) -> Checked<SerializedPageReader<Input>> {
    SerializedPageReader::new(Arc::new(input.clone()), chunk, 0, None).map_err(|error| error.to_string())
}

/// The length of the longest text in a dictionary, which is the first page.
fn longest_text(input: &Input, chunk: &ColumnChunkMetaData) -> Checked<u64> {
    let page = pages(input, chunk)?.get_next_page().map_err(|error| error.to_string())?;
    let Some(Page::DictionaryPage { buf, .. }) = page else { return Ok(0) };
    let (mut rest, mut longest) = (&buf[..], 0);
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length);
        rest = after.get(length as usize..).ok_or("a text of the dictionary goes beyond its end")?;
        longest = longest.max(u64::from(length));
    }
    Ok(longest)
}

/// Checks the numbers in pages that hold differences.
fn delta_pages(input: &Input, chunk: &ColumnChunkMetaData, column: &ColumnDescriptor) -> Checked<()> {
    let mut pages = pages(input, chunk)?;
    while let Some(page) = pages.get_next_page().map_err(|error| error.to_string())? {
        crate::interrupt::check().map_err(|error| error.to_string())?;
        let values = page.num_values() as usize;
        let encoding = page.encoding();
        let levels = match &page {
            Page::DictionaryPage { .. } => continue,
            Page::DataPage { buf, def_level_encoding, rep_level_encoding, .. } => {
                let levels = [
                    (column.max_rep_level(), *rep_level_encoding),
                    (column.max_def_level(), *def_level_encoding),
                ];
                delta::levels(buf, levels, values)?
            }
            Page::DataPageV2 { def_levels_byte_len, rep_levels_byte_len, .. } => {
                *def_levels_byte_len as usize + *rep_levels_byte_len as usize
            }
        };
        let data = page.buffer().get(levels..).ok_or("a page is shorter than its levels")?;
        delta::check(data, encoding, values)?;
    }
    Ok(())
}
