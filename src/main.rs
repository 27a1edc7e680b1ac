//! The program: arguments and exit codes.

use std::process::ExitCode;

fn main() -> ExitCode {
    kelvin::shell::main()
}
