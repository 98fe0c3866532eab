//! Tests of dexec on a real engine.
#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(unreachable_pub, reason = "the crate is a test; nothing is reached from outside")]

mod context;
mod daemon;
mod detach;
mod docker_cli;
mod docs;
mod env;
mod errors;
mod faults;
mod groups;
mod info;
mod library;
mod load;
mod modes;
mod pty;
mod rootless;
mod ssh;
mod sshd;
mod stdin;
mod stop;
mod stop_edges;
mod streams;
mod terminal;
mod transports;
mod user_workdir;

/// `dexec` with these arguments.
fn dexec<A: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = A>) -> test_support::Run {
    test_support::dexec(env!("CARGO_BIN_EXE_dexec"), args)
}
