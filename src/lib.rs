#![doc = include_str!("lib.md")]

mod api;
mod container;
mod endpoint;
mod engine;
mod env_file;
mod error;
mod exec;
mod exec_stream;
pub mod exit_code;
mod marker;
mod outcome;
mod output;
mod request;
mod response;
mod terminal;
mod text;
mod transport;

pub use api::EngineInfo;
pub use container::{Container, ContainerDetails};
pub use endpoint::{Address, Endpoint, EndpointOptions, Origin, Place, Tls};
pub use engine::Engine;
pub use env_file::{read_env_file, read_env_file_from};
pub use error::{Error, ErrorKind, Remedy};
pub use exec_stream::{ExecEvent, ExecStream};
pub use outcome::{End, Outcome, Signal, StopCause};
pub use output::{CAPTURE_LIMIT, Capture, Captured, Output, Stream};
pub use request::{Request, RequestBuilder};
pub use response::{Response, ResponseOptions};
pub use terminal::{DetachKeys, Terminal, TerminalSize};
pub use text::TextStream;
pub use tokio_util::sync::CancellationToken;
