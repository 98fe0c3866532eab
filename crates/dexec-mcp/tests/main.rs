//! Tests of dexec-mcp on a real engine, with the client of the official Rust SDK.
#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(unreachable_pub, reason = "the crate is a test; nothing is reached from outside")]

mod answers;
mod audit;
mod bounds;
mod client;
mod containers;
mod endpoint;
mod environment;
mod http;
mod load;
mod parameters;
mod policy;
mod stop;
mod tools;
