//! The program that dexec copies into a container for tasks that the engines' API lacks: listing and signalling
//! processes, and starting a command with added groups.
//!
//! It runs in any container, even without a shell or a C library: it is static and makes system calls directly. It is
//! not a Cargo target; `build.rs` compiles it for each architecture.

#![no_std]
#![no_main]
// Otherwise the compiler would turn the loop in `memcpy` into a call of `memcpy`.
#![no_builtins]

mod agent;
mod environ;
mod group_file;
mod groups;
mod lines;
mod memory;
mod output;
mod own_file;
mod proc;
mod start;
mod sys;
mod text;

use core::ffi::CStr;

use output::Output;
use start::Strings;

/// The exit code for invalid arguments, and for a line from the client that is too long.
const MISUSED: u8 = 2;

fn main(mut arguments: Strings, environment: Strings) -> u8 {
    let _own_name = arguments.next();
    match arguments.next().map(CStr::to_bytes) {
        Some(b"agent") => agent::run(),
        Some(b"remove") => own_file::remove(),
        Some(b"identity") => groups::identity(environment),
        Some(b"groups") => groups::run(arguments, environment),
        _ => misused(b"agent, remove, identity or groups"),
    }
}

fn misused(expected: &[u8]) -> u8 {
    Output::stderr().bytes(b"dexec: expected ").bytes(expected).end_line();
    MISUSED
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    sys::exit(101)
}
