//! How much a file may claim to hold.

/// What any file may unpack to: small ones pack well. While rows become one table, one column of
/// theirs is there twice.
const SMALL: u64 = 240 << 20;

/// Times its own length that a file may unpack to.
const RATIO: u64 = 32;

/// What a file of this length may unpack to, in bytes; also what several files of this length in
/// all may.
pub(crate) fn allowance(length: u64) -> u64 {
    length.saturating_mul(RATIO).max(SMALL)
}

/// What is wrong with a file, as text: the path is added by whoever knows it.
pub(super) type Checked<T> = std::result::Result<T, String>;

/// Says that a file claims more than it may.
pub(super) fn too_much(what: &str, bytes: u64, length: u64) -> String {
    format!(
        "{what} unpack to {} MB or more; a file of {length} bytes may unpack to {} MB",
        bytes / 1_000_000,
        allowance(length) / 1_000_000
    )
}
