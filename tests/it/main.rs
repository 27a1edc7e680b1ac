//! The program and the library as their users see them.
#![allow(clippy::unwrap_used)]

mod analysis;
mod bits;
mod browser;
mod cifar;
mod cli;
mod data_sets;
mod examples;
mod faults;
mod figures;
mod files;
mod folders;
mod hostile;
mod hostile_values;
mod interrupts;
mod jupyter;
mod manual;
mod measure;
mod mistakes;
mod modules;
mod pages;
mod prompt;
mod readers;
mod received;
mod reference;
mod right_numbers;
mod screen;
mod session;
mod slurm;
mod support;
mod sweeps;
mod tables;
mod terminal;
mod tools;
mod training;
mod writers;
