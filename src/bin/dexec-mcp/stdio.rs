//! One client, over standard input and output.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use dexec::{CancellationToken, Error, ErrorKind};
use rmcp::ServiceExt as _;
use rmcp::service::ServerInitializeError;
use rmcp::transport::stdio_pipes;
use tokio::io::{AsyncRead, ReadBuf};

use crate::handler::Handler;
use crate::server::Server;

/// Serves until the client closes standard input, or the server is interrupted.
pub(crate) async fn serve(server: &Arc<Server>) -> Result<(), Error> {
    let (stdin, stdout) = stdio_pipes();
    let stdin = UntilEnd {
        stdin,
        end: server.end.clone(),
    };
    let quit = CancellationToken::new();
    let _quitting = tokio::spawn({
        let (server, quit) = (Arc::clone(server), quit.clone());
        async move {
            server.interrupted.cancelled().await;
            // What the stopped commands wrote is still told.
            server.finish().await;
            quit.cancel();
        }
    });
    let handler = Handler::new(Arc::clone(server));
    let service = match handler.serve_with_ct((stdin, stdout), quit).await {
        Ok(service) => service,
        // A client that goes before it has said a word is no failure.
        Err(ServerInitializeError::ConnectionClosed(_) | ServerInitializeError::Cancelled) => return Ok(()),
        Err(error) => {
            let message = format!("the client on standard input does not speak the Model Context Protocol: {error}");
            return Err(Error::new(ErrorKind::InvalidRequest, message));
        }
    };
    // However it ends, there is nobody left to serve.
    let _ = service.waiting().await;
    Ok(())
}

/// Standard input, whose end is the end of the server: the library serves on for some seconds then, and a command
/// would run on as long.
struct UntilEnd<R> {
    stdin: R,
    end: CancellationToken,
}

impl<R: AsyncRead + Unpin> AsyncRead for UntilEnd<R> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stdin).poll_read(cx, buf);
        let has_ended = match &read {
            Poll::Ready(Ok(())) => buf.filled().len() == before && buf.remaining() > 0,
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        };
        if has_ended {
            self.end.cancel();
        }
        read
    }
}
