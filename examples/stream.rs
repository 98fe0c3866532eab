//! Shows a command's output as it arrives, and stops it on Ctrl-C or after ten seconds:
//! `cargo run --example stream -- web ping 127.0.0.1`.

use std::io::Write as _;
use std::time::Duration;

use dexec::{CancellationToken, Endpoint, EndpointOptions, Engine, ExecEvent, Request};
use futures_util::StreamExt as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let container = args.next().unwrap_or_default();
    let request = Request::new(container, args).timeout(Duration::from_secs(10)).build()?;

    let cancel = CancellationToken::new();
    let on_interrupt = cancel.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            on_interrupt.cancel();
        }
    });

    let engine = Engine::connect(&Endpoint::find(&EndpointOptions::default())?);
    let mut events = engine.exec_stream(request, &cancel);
    while let Some(event) = events.next().await {
        match event {
            ExecEvent::Stdout(bytes) => std::io::stdout().write_all(&bytes)?,
            ExecEvent::Stderr(bytes) => std::io::stderr().write_all(&bytes)?,
            ExecEvent::End(end) => println!("{end:?}"),
            _ => {}
        }
    }
    Ok(())
}
