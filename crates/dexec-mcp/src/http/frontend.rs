//! Handles an HTTP request before the MCP library does: the bearer token, the path, the limits of the body.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use dexec::CancellationToken;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Request, Response, StatusCode};
use rmcp::model::{JsonRpcMessage, ServerJsonRpcMessage};
use rmcp::transport::streamable_http_server::StreamableHttpService;
use subtle::ConstantTimeEq as _;
use tokio_util::sync::DropGuard;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::caller::Connection;
use crate::calls::HeldRoom;
use crate::handler::Handler;
use crate::server::Server;

use super::PATH;
use super::body::{Bodies, Bounded, Fate, Refused};
use super::connections::{Place, Use, Used};
use super::sessions::{InUse, Sessions};

/// The header with the session id.
const SESSION: &str = "mcp-session-id";

/// Handles HTTP requests before the MCP library does.
pub(super) struct HttpFrontend {
    pub(super) token: Option<String>,
    pub(super) server: Arc<Server>,
    pub(super) bodies: Arc<Bodies>,
    pub(super) sessions: Arc<Sessions>,
    /// Tracks the answers to calls until they are sent.
    pub(super) answers: TaskTracker,
    pub(super) service: StreamableHttpService<Handler, Sessions>,
}

pub(super) type Answer = Response<TrackedBody>;

impl HttpFrontend {
    pub(super) async fn answer(&self, request: Request<Incoming>, address: SocketAddr, place: Arc<Place>) -> Answer {
        let gone = CancellationToken::new();
        // The call is cancelled when both this future and the answer's body are dropped.
        let guard = gone.clone().drop_guard();
        let call = (request.method() == Method::POST).then(|| self.answers.token());
        let (fate, room) = (Arc::<Fate>::default(), HeldRoom::default());
        let (mut in_use, mut listening) = (None, None);
        let answer = if !self.is_allowed(&request) {
            let mut answer = refusal(StatusCode::UNAUTHORIZED, "a valid bearer token is required");
            let bearer = HeaderValue::from_static("Bearer");
            answer.headers_mut().insert(WWW_AUTHENTICATE, bearer);
            answer
        } else if request.uri().path() != PATH {
            refusal(StatusCode::NOT_FOUND, "the server's path is /mcp")
        } else {
            let id = request.headers().get(SESSION).and_then(|id| id.to_str().ok());
            in_use = id.and_then(|id| self.sessions.used(id));
            place.heard();
            if request.method() == Method::GET {
                listening = Some(place.used(Use::Listening));
            }
            // The body is not read if the headers are refused.
            let mut request = request.map(|body| {
                let server = Arc::clone(&self.server);
                let known = (Arc::clone(&fate), Arc::clone(&room));
                Bounded::new(body, &self.bodies, place, server, known)
            });
            request.extensions_mut().insert(Connection {
                address,
                gone,
                _room: room,
            });
            let answer = self.service.handle(request).await;
            fate.refused.get().map_or(answer, refusal_of_body)
        };
        answer.map(|body| TrackedBody {
            body,
            _guard: guard,
            _call: call,
            _in_use: in_use,
            _listening: listening,
            _fate: fate,
        })
    }

    fn is_allowed(&self, request: &Request<Incoming>) -> bool {
        let Some(token) = &self.token else { return true };
        let given = request
            .headers()
            .get(AUTHORIZATION)
            .map(HeaderValue::as_bytes)
            .unwrap_or_default();
        let (scheme, given) = given.split_at(given.len().min("Bearer ".len()));
        // The comparison takes constant time, so that the time of a refusal reveals nothing about the token.
        scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(given.ct_eq(token.as_bytes()))
    }
}

fn refusal(status: StatusCode, reason: impl Into<Bytes>) -> Response<BoxBody<Bytes, Infallible>> {
    let mut answer = Response::new(Full::new(reason.into()).boxed());
    *answer.status_mut() = status;
    answer
}

/// An error of the protocol, with the request's id if it is known.
fn refusal_of_body(refused: &Refused) -> Response<BoxBody<Bytes, Infallible>> {
    let error: ServerJsonRpcMessage = JsonRpcMessage::error(refused.error.clone(), refused.id.clone());
    // All of its fields can be written as JSON.
    let mut answer = refusal(refused.status, serde_json::to_vec(&error).unwrap_or_default());
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    answer
}

/// An answer's body, which releases its guards when it is dropped.
pub(super) struct TrackedBody {
    body: BoxBody<Bytes, Infallible>,
    _guard: DropGuard,
    _call: Option<TaskTrackerToken>,
    _in_use: Option<InUse>,
    _listening: Option<Used>,
    _fate: Arc<Fate>,
}

impl Body for TrackedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
