//! kelvin: a research shell for the thermodynamics of learning.
//!
//! One path runs through the program, and the folders follow it:
//!
//! ```text
//! script ─► plan ─► store ─► train ─► journal ─► Parquet ─► table ─► estimate ─► figure
//! ```
//!
//! The library is usable without its scripting language: the features `script` and `shell` add the
//! bindings and the prompt on top.
#![deny(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod analysis;
mod beneath;
mod cuda;
pub mod data;
pub mod decimal;
mod door;
pub mod error;
pub mod files;
mod hash;
mod home;
pub mod interrupt;
#[cfg(test)]
mod layers;
pub mod memory;
pub mod model;
pub mod optim;
pub mod options;
pub mod plot;
mod precision;
pub mod rng;
#[cfg(feature = "script")]
pub mod script;
#[cfg(feature = "shell")]
pub mod shell;

pub mod sweep;
pub mod table;
pub mod theory;
mod threads;
pub mod torch;
pub mod train;
mod untrusted;
mod visible;
