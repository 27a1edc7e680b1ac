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

pub mod data;
pub mod error;
pub mod interrupt;
pub mod model;
pub mod optim;
pub mod rng;
pub mod torch;
pub mod train;
