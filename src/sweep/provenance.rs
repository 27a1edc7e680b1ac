//! Where a sweep comes from, and how its runs ended.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::train::Status;

/// Where a sweep comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// When the plan was frozen.
    #[serde(deserialize_with = "time")]
    pub created: SystemTime,
    /// kelvin's version.
    pub kelvin: String,
    /// kelvin's git commit, if it was built from a checkout.
    pub commit: String,
    /// libtorch's version.
    pub libtorch: String,
    /// The host that made the plan.
    pub host: String,
    /// The script that made the plan.
    pub script: Option<Script>,
    /// The modules that it had imported by then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<Script>,
    /// The `-D name=value` arguments.
    pub arguments: Vec<(String, String)>,
}

/// A script as it was when it made a plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Script {
    /// Its path as given.
    pub path: String,
    /// SHA-256 of its text, in hex.
    pub sha256: String,
    /// Its text.
    pub text: String,
}

impl Script {
    /// A script's path and text, with its hash.
    pub fn new(path: &str, text: &str) -> Self {
        let sha256 = crate::hash::sha256(text);
        Self { path: path.to_owned(), sha256, text: text.to_owned() }
    }
}

impl Provenance {
    /// This program on this host.
    pub fn here() -> Self {
        Self {
            kelvin: env!("CARGO_PKG_VERSION").to_owned(),
            commit: env!("KELVIN_GIT_COMMIT").to_owned(),
            libtorch: crate::torch::LIBTORCH_VERSION.to_owned(),
            host: host(),
            created: SystemTime::now(),
            script: None,
            modules: Vec::new(),
            arguments: Vec::new(),
        }
    }
}

/// This host's name.
pub(super) fn host() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned())
}

/// How a run ended, where and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// Done, diverged, failed or interrupted.
    pub status: Status,
    /// Why it did not end as done.
    pub error: Option<String>,
    /// When its training began.
    #[serde(deserialize_with = "time")]
    pub started: SystemTime,
    /// When it ended.
    #[serde(deserialize_with = "time")]
    pub ended: SystemTime,
    /// The host that trained it.
    pub host: String,
    /// The device that trained it.
    pub device: String,
    /// kelvin's version.
    pub kelvin: String,
    /// kelvin's git commit.
    pub commit: String,
    /// libtorch's version.
    pub libtorch: String,
    /// SHA-256 of the final weights of a run that is done.
    pub weights_sha256: Option<String>,
}

impl Ended {
    /// A run that ended on this host.
    pub fn here(
        status: Status,
        error: Option<String>,
        started: SystemTime,
        ended: SystemTime,
        device: &str,
    ) -> Self {
        let Provenance { kelvin, commit, libtorch, host, .. } = Provenance::here();
        let device = device.to_owned();
        Self { status, error, started, ended, host, device, kelvin, commit, libtorch, weights_sha256: None }
    }
}

/// A time as people read it: `2026-11-23 14:30:05 UTC`.
pub fn time_text(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    match chrono::DateTime::from_timestamp(seconds, since.subsec_nanos()) {
        Some(time) => time.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
        // A file system may say so of a file.
        None => format!("{seconds} s after 1970"),
    }
}

/// A stored time, which is one that calendars know.
pub(super) fn time<'de, D: Deserializer<'de>>(stored: D) -> Result<SystemTime, D::Error> {
    /// The year 10000.
    const END: u64 = 253_402_300_800;
    let time = SystemTime::deserialize(stored)?;
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) if since.as_secs() < END => Ok(time),
        _ => Err(D::Error::custom("expected a time before the year 10000, found a later one")),
    }
}
