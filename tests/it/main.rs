//! The program and the library as their users see them.
#![allow(clippy::unwrap_used)]

mod analysis;
mod cifar;
mod cli;
mod data_sets;
mod faults;
mod folders;
mod hostile;
mod mistakes;
mod prompt;
mod readers;
mod reference;
mod slurm;
mod support;
mod sweeps;
mod training;
mod writers;
