//! dexec without an engine, and with one that does what no real one can be made to do.
#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(unreachable_pub, reason = "the crate is a test; nothing is reached from outside")]

#[path = "../support/limited.rs"]
mod limited;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared with the tests on a real engine")]
mod support;

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
