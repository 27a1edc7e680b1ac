//! The program: arguments and exit codes.

use std::process::ExitCode;

/// libtorch allocates and frees each operation's result. This allocator, which takes over from the
/// C library's for libtorch too, keeps such memory at hand: small nets train about 1.3 times as
/// fast (docs/notes/2026-11-29-other-changes.md).
#[global_allocator]
static ALLOCATOR: kelvin::memory::Counting<mimalloc::MiMalloc> = kelvin::memory::Counting(mimalloc::MiMalloc);

fn main() -> ExitCode {
    kelvin::memory::keep_freed();
    kelvin::shell::main()
}
