//! Serves one client over standard input and output.

mod lines;

use std::sync::Arc;
use std::time::Duration;

use dexec::{CancellationToken, Error, ErrorKind};
use rmcp::ServiceExt as _;
use rmcp::service::ServerInitializeError;

use crate::handler::Handler;
use crate::server::Server;

use lines::Lines;

/// How long the server waits at its end for the client to read its answers.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Serves until the client closes standard input, or the server is interrupted.
pub(crate) async fn serve(server: &Arc<Server>) -> Result<(), Error> {
    watch_client(server.end.clone());
    let quit = CancellationToken::new();
    let quitting = {
        let (server, quit) = (Arc::clone(server), quit.clone());
        async move {
            server.interrupted.cancelled().await;
            // The client still receives the output of the stopped commands.
            server.finish().await;
            quit.cancel();
        }
    };
    let _quitting = tokio::spawn(quitting);
    let handler = Handler::new(Arc::clone(server));
    let client = Lines::new(Arc::clone(server));
    let service = match Box::pin(handler.serve_with_ct(client, quit)).await {
        Ok(service) => service,
        // It is not an error if a client disconnects before it has sent anything.
        Err(ServerInitializeError::ConnectionClosed(_) | ServerInitializeError::Cancelled) => return Ok(()),
        Err(error) => {
            let message = format!("the client on standard input does not speak the Model Context Protocol: {error}");
            return Err(Error::new(ErrorKind::InvalidRequest, message));
        }
    };
    let unread = async {
        server.end.cancelled().await;
        server.finish().await;
        tokio::time::sleep(LAST_ANSWERS).await;
    };
    tokio::select! {
        // However it ends, there is no client left.
        _ = service.waiting() => {}
        () = unread => {}
    }
    Ok(())
}

/// Cancels `end` when the client closes its end of standard input. The library notices that only after it has read and
/// answered all earlier messages, and then serves for some more seconds; commands would run on that long.
#[cfg(unix)]
fn watch_client(end: CancellationToken) {
    use rustix::event::{PollFd, PollFlags, poll};

    // `poll` reports a hang-up even if it is not requested.
    #[cfg(target_os = "linux")]
    let closed = PollFlags::RDHUP;
    #[cfg(not(target_os = "linux"))]
    let closed = PollFlags::empty();
    // If no thread can be created, the server depends on the library to notice.
    let _ = std::thread::Builder::new().spawn(move || {
        let stdin = std::io::stdin();
        loop {
            match poll(&mut [PollFd::new(&stdin, closed)], None) {
                Ok(_) => return end.cancel(),
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
        }
    });
}

#[cfg(not(unix))]
fn watch_client(_: CancellationToken) {}
