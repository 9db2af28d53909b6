//! The command `hapax`.

use std::process::ExitCode;

/// Many threads allocate small pieces here and free them there, which the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    hapax::cli::main()
}
