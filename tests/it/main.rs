//! The program and the library as their users see them.
#![allow(clippy::unwrap_used)]

mod analysis;
mod cifar;
mod cli;
mod faults;
mod folders;
mod mistakes;
mod prompt;
mod readers;
mod reference;
mod slurm;
mod support;
mod sweeps;
mod tables;
mod training;
