//! What kelvin's own Parquet files say of their bytes: checksums, since disks and copies change
//! some unseen.
//!
//! Every page's header holds the CRC-32 of the page, as the format has it; other readers check it,
//! too. What pages do not cover, headers and the footer, the seal does: right before the footer,
//! where no reader looks, lie `kelvin crc32` and the CRC-32 of all other bytes of the file, in four
//! bytes, little-endian. Files of earlier versions have neither.

use std::io::{self, Write};

use bytes::Bytes;
use crc32fast::Hasher;
use parquet::file::metadata::ColumnChunkMetaData;

use super::Checked;
use super::input::Input;
use super::thrift::{Thrift, kind};

/// What a seal begins with.
const MARK: &[u8; 12] = b"kelvin crc32";

/// Bytes of a seal.
const SEAL: u64 = MARK.len() as u64 + 4;

/// The length of the footer, and `PAR1`.
const TAIL: u64 = 8;

/// Bytes that are summed up between two looks at the interrupt flag.
const PART: usize = 1 << 20;

/// Checks a file against its seal, if it has one.
pub(super) fn check(input: &Input) -> Checked<()> {
    let Some(seal) = seal_of(input) else { return Ok(()) };
    let said = input.bytes(seal, SEAL as usize)?;
    let Some(said) = said.strip_prefix(MARK) else { return Ok(()) };
    let mut sum = Hasher::new();
    for (mut at, end) in [(0, seal), (seal + SEAL, input.length())] {
        while at < end {
            crate::interrupt::check().map_err(|error| error.to_string())?;
            let part = (end - at).min(PART as u64);
            sum.update(&input.bytes(at, part as usize)?);
            at += part;
        }
    }
    match *said == sum.finalize().to_le_bytes() {
        true => Ok(()),
        false => Err(DAMAGED.to_owned()),
    }
}

/// What is to be done about a file whose checksum does not fit.
pub(super) const DAMAGED: &str = "it was damaged after it was written: its checksum (CRC-32) does not fit; restore it from \
     a copy, or remove it and make it again (a sweep that is run again trains a run whose file is gone)";

/// Where a seal would be; nowhere in what has no footer.
fn seal_of(input: &Input) -> Option<u64> {
    let tail = input.length().checked_sub(TAIL)?;
    let bytes = input.bytes(tail, 4).ok()?;
    let footer = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    tail.checked_sub(u64::from(footer))?.checked_sub(SEAL)
}

/// Writes a Parquet file's bytes and puts the seal among them.
pub(crate) struct Sealing<W> {
    to: W,
    sum: Hasher,
    /// The end of the file, once it has begun.
    end: Option<Vec<u8>>,
}

impl<W: Write> Sealing<W> {
    pub(crate) fn new(to: W) -> Self {
        Self { to, sum: Hasher::new(), end: None }
    }

    /// Keeps what comes from here on: the end of the file, with its footer.
    pub(crate) fn begin_end(&mut self) {
        self.end = Some(Vec::new());
    }

    /// Writes the end and the seal.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        let end = self.end.take().unwrap_or_default();
        let broken = || io::Error::other("a Parquet file without a footer");
        let (rest, tail) = end.split_last_chunk::<{ TAIL as usize }>().ok_or_else(broken)?;
        let length = u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]) as usize;
        let footer = rest.len().checked_sub(length).ok_or_else(broken)?;
        self.write_all(&end[..footer])?;
        let Self { mut to, mut sum, .. } = self;
        sum.update(&end[footer..]);
        to.write_all(MARK)?;
        to.write_all(&sum.finalize().to_le_bytes())?;
        to.write_all(&end[footer..])
    }
}

impl<W: Write> Write for Sealing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(end) = &mut self.end {
            end.extend_from_slice(bytes);
            return Ok(bytes.len());
        }
        let written = self.to.write(bytes)?;
        self.sum.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// A column's pages with their checksums, and where they then lie: the dictionary first.
pub(crate) struct Pages {
    /// Headers and contents.
    pub(crate) bytes: Bytes,
    /// The length of the dictionary's page; 0 where there is none.
    pub(crate) dictionary: usize,
    /// The lengths of the other pages.
    pub(crate) lengths: Vec<usize>,
    /// How much longer all headers became.
    pub(crate) growth: usize,
}

/// Puts the checksum of each page into its header; nothing where the bytes are no header.
pub(crate) fn with_sums(pages: &[(Bytes, Bytes)]) -> Option<Pages> {
    let mut sealed: Vec<(bool, Vec<u8>, &Bytes)> = Vec::with_capacity(pages.len());
    let mut growth = 0;
    for (header, content) in pages {
        let (is_dictionary, long) = with_sum(header, crc32fast::hash(content))?;
        growth += long.len() - header.len();
        sealed.push((is_dictionary, long, content));
    }
    // A column has one dictionary at most, which comes last as it is built and first in the file.
    sealed.sort_by_key(|(is_dictionary, ..)| !is_dictionary);
    let length = |(_, header, content): &(bool, Vec<u8>, &Bytes)| header.len() + content.len();
    let dictionary = sealed.first().filter(|(is_dictionary, ..)| *is_dictionary).map_or(0, length);
    let lengths = sealed.iter().filter(|(is_dictionary, ..)| !is_dictionary).map(length).collect();
    let mut bytes = Vec::with_capacity(sealed.iter().map(length).sum());
    for (_, header, content) in sealed {
        bytes.extend(header);
        bytes.extend_from_slice(content);
    }
    Some(Pages { bytes: bytes.into(), dictionary, lengths, growth })
}

/// Whether a page is a dictionary, and its header with a checksum: field 4, between the sizes and
/// what depends on the kind.
fn with_sum(header: &[u8], sum: u32) -> Option<(bool, Vec<u8>)> {
    const DICTIONARY: i32 = 2;
    let mut thrift = Thrift::new(header);
    let (mut page, mut last) = (0, 0);
    for expected in 1..=3 {
        if thrift.field(&mut last)? != Some((expected, kind::I32)) {
            return None;
        }
        let number = thrift.i32()?;
        page = if expected == 1 { number } else { page };
    }
    let at = thrift.position();
    // The next field's number is told as a distance from the one before.
    let next = *header.get(at)?;
    if next >> 4 < 2 {
        return None;
    }
    let mut long = header[..at].to_vec();
    long.push(1 << 4 | kind::I32);
    let number = sum as i32;
    let mut zigzag = ((number << 1) ^ (number >> 31)) as u32;
    while zigzag >= 0x80 {
        long.push(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    long.push(zigzag as u8);
    long.push(next - (1 << 4));
    long.extend_from_slice(&header[at + 1..]);
    Some((page == DICTIONARY, long))
}

/// What a column's metadata say of pages that got longer.
pub(crate) fn moved(
    metadata: ColumnChunkMetaData,
    pages: &Pages,
) -> parquet::errors::Result<ColumnChunkMetaData> {
    let growth = pages.growth as i64;
    let (packed, unpacked) = (metadata.compressed_size() + growth, metadata.uncompressed_size() + growth);
    metadata
        .into_builder()
        .set_total_compressed_size(packed)
        .set_total_uncompressed_size(unpacked)
        .set_dictionary_page_offset((pages.dictionary > 0).then_some(0))
        .set_data_page_offset(pages.dictionary as i64)
        .build()
}
