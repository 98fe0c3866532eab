//! Tests of dexec without an engine, and with a fake engine that misbehaves in ways that a real one can't be made to.
#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(unreachable_pub, reason = "the crate is a test; nothing is reached from outside")]

mod endpoint;
mod fake;
mod faults;
mod hostile;
mod info;
mod refusals;
mod secrets;
mod terminal;
mod threads;
mod tls;
mod tls_server;

/// `dexec` with these arguments.
fn dexec<A: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = A>) -> test_support::Run {
    test_support::dexec(env!("CARGO_BIN_EXE_dexec"), args)
}
