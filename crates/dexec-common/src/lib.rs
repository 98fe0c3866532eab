//! What the programs `dexec` and `dexec-mcp` share: the options that say where the engine is, durations on a command line,
//! and the signals that end a program.
//!
//! It knows nothing of the library `dexec`, which is in one package with a program that uses this.

pub mod duration;
pub mod endpoint_args;
pub mod signals;
pub mod threads;
