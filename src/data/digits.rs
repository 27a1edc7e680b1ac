//! The embedded digits.
//!
//! The test part (1,797 images) of "Optical Recognition of Handwritten Digits", E. Alpaydin and C.
//! Kaynak, UCI Machine Learning Repository, 1998, CC BY 4.0. Each line of the file holds 64 values
//! 0 to 16, row by row, and the label.

use std::io::Read;

use super::{Images, Source, SourceEntry};
use crate::error::{Error, Result};

const FILE: &[u8] = include_bytes!("assets/digits.csv.gz");

pub(super) const ENTRY: SourceEntry = SourceEntry {
    name: "digits",
    doc: "1,797 handwritten digits, 8x8 grey, embedded in the program",
    origin: "E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998 (CC BY 4.0)",
    sizes: Some((1500, 297)),
    classes: Some(10),
    example: "digits()",
    load: |_| load(),
    ..SourceEntry::PLAIN
};

impl Source {
    /// The embedded handwritten digits.
    pub fn digits() -> Self {
        Self::with(&ENTRY, None, &())
    }
}

fn load() -> Result<Images> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(FILE)
        .read_to_string(&mut text)
        .map_err(|error| Error::io("the embedded digits", error))?;
    let mut bytes = Vec::new();
    let mut labels = Vec::new();
    for line in text.lines() {
        let row: Vec<u8> = line
            .split(',')
            .map(str::parse)
            .collect::<std::result::Result<_, _>>()
            .map_err(|error| Error::invalid(format!("the embedded digits: {error}")))?;
        let Some((label, pixels)) = row.split_last() else { continue };
        bytes.extend_from_slice(pixels);
        labels.push(u16::from(*label));
    }
    Images::new(bytes, labels, 10, [1, 8, 8], 16.0)
}
