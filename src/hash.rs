//! Hashes as text.

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// SHA-256 of bytes, in lower-case hexadecimal.
pub(crate) fn sha256(bytes: impl AsRef<[u8]>) -> String {
    hex(&Sha256::digest(bytes))
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An error where a value of this name is no SHA-256 in lower-case hexadecimal.
pub(crate) fn is_sha256(name: &str, text: &str) -> Result<()> {
    if text.len() == 64 && is_hex(text) {
        return Ok(());
    }
    Err(Error::invalid(format!("{name} is {text:?}, expected a SHA-256 in hexadecimal")))
}

/// Whether a text is lower-case hexadecimal.
pub(crate) fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
