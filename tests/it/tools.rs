//! The tools that set kelvin up, by their own tests.

use std::process::Command;

use crate::support::{checkout, say};

#[test]
fn tools_check_what_they_use() {
    let python = std::env::var_os("KELVIN_PYTHON").unwrap_or_else(|| "python3".into());
    let done = Command::new(&python).arg("-B").arg(checkout().join("tests/tools.py")).output();
    match done {
        Ok(done) => assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr)),
        Err(error) => say(&format!("skipped: {}: {error}", python.display())),
    }
}
