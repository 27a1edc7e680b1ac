//! The program and the library as their users see them.
//!
//! Tests run beside each other, except those in a module called `alone`: they measure time,
//! processor time or memory, limit a process, sit at a terminal, or drive Slurm, a browser or
//! Jupyter. `make test` runs them one at a time after the others. A file of such tests lies in the
//! folder `alone`; in a file of others they are in its own `mod alone`. The unit tests in `src`
//! follow the same rule.
#![allow(clippy::unwrap_used)]

mod alone {
    mod cifar;
    mod hostile;
    mod hostile_values;
    mod interrupts;
    mod jupyter;
    mod prompt;
    mod screen;
    mod session;
    mod slurm;
    mod writers;
}
mod analysis;
mod bits;
mod browser;
mod cli;
mod data_sets;
mod examples;
mod faults;
mod figures;
mod file_systems;
mod files;
mod folders;
mod limits;
mod manual;
mod measure;
mod mistakes;
mod modules;
mod pages;
mod queries;
mod readers;
mod received;
mod reference;
mod right_numbers;
mod support;
mod sweeps;
mod tables;
mod terminal;
mod tools;
mod training;
