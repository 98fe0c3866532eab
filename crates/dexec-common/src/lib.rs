//! Code that the programs `dexec` and `dexec-mcp` share: the options that select the engine, durations on a command
//! line, the signals that end a program, and a check for free threads.
//!
//! It does not use the library `dexec`, because that is in the same package as a program that uses this crate.

pub mod duration;
pub mod endpoint_args;
pub mod signals;
pub mod threads;
