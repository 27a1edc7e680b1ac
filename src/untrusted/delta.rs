//! Pages of differences: how many values they claim to hold.
//!
//! Apache Parquet, encodings: DELTA_BINARY_PACKED is the length of a block, the number of its
//! parts, the number of values and the first of them, then blocks; each has its least difference, a
//! width in bits per part, and the parts. DELTA_LENGTH_BYTE_ARRAY begins with one such stream,
//! DELTA_BYTE_ARRAY with two.

use parquet::basic::Encoding;

use super::Checked;
use super::thrift::Thrift;

/// Values of a block, at most; writers use 128.
const LONGEST_BLOCK: u64 = 1 << 16;

/// Checks the streams of differences that a page's data, without levels, begin with.
pub(super) fn check(data: &[u8], encoding: Encoding, values: usize) -> Checked<()> {
    let streams = match encoding {
        Encoding::DELTA_BINARY_PACKED | Encoding::DELTA_LENGTH_BYTE_ARRAY => 1,
        Encoding::DELTA_BYTE_ARRAY => 2,
        _ => 0,
    };
    let mut rest = data;
    for _ in 0..streams {
        let length =
            stream(rest, values).unwrap_or_else(|| Err("a page of differences is broken".to_owned()))?;
        rest = &rest[length..];
    }
    Ok(())
}

/// The length of a stream.
fn stream(data: &[u8], most: usize) -> Option<Checked<usize>> {
    let mut thrift = Thrift::new(data);
    // The same numbers of 7 bits a byte as in headers.
    let (block, parts, values) = (thrift.varint()?, thrift.varint()?, thrift.varint()?);
    thrift.varint()?;
    if values > most as u64 {
        return Some(Err(format!("a page of {most} values claims {values} differences")));
    }
    if !(1..=LONGEST_BLOCK).contains(&block) || parts == 0 || !block.is_multiple_of(parts) {
        return None;
    }
    let part = block / parts;
    let mut left = values.saturating_sub(1);
    while left > 0 {
        thrift.varint()?;
        let widths: Vec<u8> = (0..parts).map(|_| thrift.byte()).collect::<Option<_>>()?;
        // Parts that hold no values are left out, whatever their width.
        for width in widths.into_iter().take(left.div_ceil(part).min(parts) as usize) {
            // The last part may be cut short.
            let length = (u64::from(width) * part / 8) as usize;
            thrift.pass(length.min(thrift.left()))?;
            left = left.saturating_sub(part);
        }
    }
    Some(Ok(thrift.position()))
}

/// The length of the levels that a page of the first version begins with.
pub(super) fn levels(data: &[u8], levels: [(i16, Encoding); 2], values: usize) -> Checked<usize> {
    let mut at = 0usize;
    for (deepest, encoding) in levels {
        if deepest <= 0 {
            continue;
        }
        let length = match encoding {
            Encoding::RLE => {
                let length = data.get(at..).and_then(<[u8]>::first_chunk::<4>);
                let length = length.ok_or("a page is shorter than its levels")?;
                u32::from_le_bytes(*length) as usize + 4
            }
            // The other encoding of levels: as many bits as the deepest one has.
            _ => values.saturating_mul((i16::BITS - deepest.leading_zeros()) as usize).div_ceil(8),
        };
        at = at.saturating_add(length);
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 5 values 1 to 5 of the format's own example: block of 128, 4 parts, all differences 1.
    const EXAMPLE: [u8; 10] = [0x80, 0x01, 4, 5, 2, 2, 0, 0, 0, 0];

    #[test]
    fn a_stream_is_as_long_as_its_blocks() {
        assert_eq!(stream(&EXAMPLE, 5).unwrap().unwrap(), 10);
        // One of three bits a difference: 12 bytes of the first part follow.
        let mut wide = EXAMPLE.to_vec();
        wide[6] = 3;
        wide.extend([0; 20]);
        assert_eq!(stream(&wide, 5).unwrap().unwrap(), 22);
        // No block after a single value.
        assert_eq!(stream(&[0x80, 0x01, 4, 1, 2, 9, 9], 5).unwrap().unwrap(), 5);
    }

    #[test]
    fn claims_beyond_the_page_are_refused() {
        let mut many = EXAMPLE.to_vec();
        many[3] = 6;
        assert!(stream(&many, 5).unwrap().unwrap_err().contains("claims 6"));
        assert!(check(&EXAMPLE, Encoding::DELTA_BYTE_ARRAY, 5).is_err(), "the second stream is missing");
        assert!(check(&EXAMPLE[..4], Encoding::DELTA_BINARY_PACKED, 5).is_err());
        // A block of 2^60 values in 2^50 parts.
        let huge = [&[0x80; 8][..], &[0x10], &[0x80; 7], &[0x02, 5, 2]].concat();
        assert!(check(&huge, Encoding::DELTA_BINARY_PACKED, 5).is_err());
    }
}
