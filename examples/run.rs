//! Runs one command and prints its result: `cargo run --example run -- web uname -a`.

use dexec::{CancellationToken, Endpoint, EndpointOptions, Engine, Request};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), dexec::Error> {
    let mut args = std::env::args().skip(1);
    let container = args.next().unwrap_or_default();
    let request = Request::new(container, args).build()?;

    let engine = Engine::connect(&Endpoint::find(&EndpointOptions::default())?);
    let outcome = engine.exec(request, &CancellationToken::new()).await;

    print!("{}", String::from_utf8_lossy(&outcome.stdout.into_bytes()));
    eprint!("{}", String::from_utf8_lossy(&outcome.stderr.into_bytes()));
    if let Some(message) = outcome.end.message() {
        eprintln!("{message}");
    }
    println!("exit code {}", outcome.end.exit_code());
    Ok(())
}
