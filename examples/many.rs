//! Runs one command in every running container at once, over one engine: `cargo run --example many -- uptime`.

use dexec::{CancellationToken, Endpoint, EndpointOptions, Engine, Request};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), dexec::Error> {
    let command: Vec<String> = std::env::args().skip(1).collect();
    let engine = Engine::connect(&Endpoint::find(&EndpointOptions::default())?);

    let mut running = tokio::task::JoinSet::new();
    for container in engine.containers().await? {
        if !container.is_running {
            continue;
        }
        let request = Request::new(&container.name, command.clone()).build()?;
        let engine = engine.clone();
        running.spawn(async move { (container.name, engine.exec(request, &CancellationToken::new()).await) });
    }
    while let Some(Ok((name, outcome))) = running.join_next().await {
        println!("{name}: exit code {}", outcome.end.exit_code());
        print!("{}", String::from_utf8_lossy(&outcome.stdout.into_bytes()));
    }
    Ok(())
}
