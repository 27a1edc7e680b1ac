//! The program and the library as their users see them.
#![allow(clippy::unwrap_used)]

mod cifar;
mod readers;
mod reference;
mod training;
