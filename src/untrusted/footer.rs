//! The end of a Parquet file: its length, and a tree of columns that a reader builds by recursion.
//!
//! Apache Parquet, file format: the file ends with its metadata (Thrift), their length in four
//! bytes, and `PAR1`.

use super::Checked;
use super::input::Input;
use super::thrift::{Thrift, kind};

/// Bytes of metadata, at most: those of some hundred thousand columns and row groups.
const LONGEST: u32 = 16 << 20;

/// Columns and groups of them, at most.
const MOST_COLUMNS: usize = 10_000;

/// Groups in groups, at most.
const DEEPEST: usize = 32;

/// The fewest bytes of a row group.
const ROW_GROUP: usize = 16;

/// Checks all that a reader of the metadata allocates by or recurses by.
pub(super) fn check(input: &Input) -> Checked<()> {
    const TAIL: u64 = 8;
    let length = input.length();
    let tail = length.checked_sub(TAIL).ok_or_else(|| format!("it has {length} bytes"))?;
    let bytes = input.bytes(tail, TAIL as usize)?;
    if bytes[4..] != *b"PAR1" {
        return Err("it does not end with PAR1".to_owned());
    }
    let size = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let start = tail
        .checked_sub(u64::from(size))
        .ok_or_else(|| format!("its metadata claim {size} bytes, the file has {length}"))?;
    if size > LONGEST {
        return Err(format!("its metadata have {size} bytes, expected at most {LONGEST}"));
    }
    let bytes = input.bytes(start, size as usize)?;
    metadata(&mut Thrift::new(&bytes)).unwrap_or_else(|| Err("its metadata are broken".to_owned()))
}

/// `FileMetaData` of the format; nothing where its bytes make no sense.
fn metadata(thrift: &mut Thrift) -> Option<Checked<()>> {
    let mut last = 0;
    while let Some((field, kind)) = thrift.field(&mut last)? {
        match (field, kind) {
            (1, kind::I32) | (3, kind::I64) | (6, kind::BINARY) => thrift.skip(kind)?,
            (2, kind::LIST) => {
                if let Err(error) = schema(thrift)? {
                    return Some(Err(error));
                }
            }
            (4 | 5 | 7, kind::LIST) => {
                let (kind, length) = thrift.list()?;
                if length > 0 && kind != kind::STRUCT || field == 4 && length > thrift.left() / ROW_GROUP {
                    return None;
                }
                (0..length).try_for_each(|_| thrift.skip(kind))?;
            }
            // Known fields have their types.
            (1..=7, _) => return None,
            _ => thrift.skip(kind)?,
        }
    }
    Some(Ok(()))
}

/// The list of columns, depth first, each with the number of those in it.
fn schema(thrift: &mut Thrift) -> Option<Checked<()>> {
    let (kind, length) = thrift.list()?;
    if kind != kind::STRUCT {
        return None;
    }
    if length > MOST_COLUMNS {
        return Some(Err(format!("it has {length} columns, expected at most {MOST_COLUMNS}")));
    }
    // How many columns the groups that are open still lack.
    let mut open: Vec<usize> = Vec::new();
    for element in 0..length {
        let children = children(thrift)?;
        if children > length - element - 1 {
            return Some(Err(format!("a group claims {children} columns, there are {length} in all")));
        }
        if let Some(lacking) = open.last_mut() {
            *lacking -= 1;
        } else if element > 0 {
            return Some(Err("there are columns outside of the table".to_owned()));
        }
        if children > 0 {
            open.push(children);
        }
        while open.last() == Some(&0) {
            open.pop();
        }
        if open.len() > DEEPEST {
            return Some(Err(format!("its columns are nested more than {DEEPEST} deep")));
        }
    }
    if !open.is_empty() {
        return Some(Err("a group claims more columns than there are".to_owned()));
    }
    Some(Ok(()))
}

/// The number of columns in one `SchemaElement`.
fn children(thrift: &mut Thrift) -> Option<usize> {
    let (mut children, mut last) = (0, 0);
    while let Some((field, kind)) = thrift.field(&mut last)? {
        match (field, kind) {
            (5, kind::I32) => children = usize::try_from(thrift.i32()?).ok()?,
            (1..=3 | 6..=9, kind::I32) | (4, kind::BINARY) | (10, kind::STRUCT) => thrift.skip(kind)?,
            (1..=10, _) => return None,
            _ => thrift.skip(kind)?,
        }
    }
    Some(children)
}
