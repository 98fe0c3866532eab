//! The program that dexec puts into a container for what the engines' API can't do there: to list and signal processes,
//! and to start a command with added groups.
//!
//! It runs in any container, also in one without a shell or a C library: it is static and talks to the kernel itself.
//! Cargo does not know it; `build.rs` compiles it for each kind of processor.

#![no_std]
#![no_main]
// Otherwise the loop in our `memcpy` would be compiled into a call of `memcpy`.
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

/// A call of this program that makes no sense; also a line from the client that is too long.
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
