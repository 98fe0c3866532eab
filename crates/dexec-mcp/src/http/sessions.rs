//! Limits the number of sessions: an unused one is closed to make room, because most clients never end theirs.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rmcp::model::{ClientJsonRpcMessage, JsonRpcMessage, ServerJsonRpcMessage};
use rmcp::transport::streamable_http_server::SessionId;
use rmcp::transport::streamable_http_server::session::local::{
    LocalSessionManager, LocalSessionManagerError, SessionTransport,
};
use rmcp::transport::streamable_http_server::session::{ServerSseMessage, SessionManager};
use thiserror::Error;
use tokio_stream::Stream;

use crate::calls::{self, Ids, Numbered};

/// The most bytes of a message that begins a session.
const MAX_BEGINNING_SIZE: usize = 64 * 1024;

/// The MCP library's sessions, up to a maximum number.
pub(super) struct Sessions {
    all: LocalSessionManager,
    most: usize,
    /// Held while a session is created, so that two do not take the same place.
    beginning: tokio::sync::Mutex<()>,
    uses: Mutex<HashMap<SessionId, Use>>,
}

struct Use {
    /// How many requests of the session are not answered completely, including open streams.
    requests: usize,
    /// When the last request ended.
    since: Instant,
    ids: Ids,
}

/// A request of a session, until this is dropped.
pub(super) struct InUse {
    sessions: Arc<Sessions>,
    id: SessionId,
}

#[derive(Debug, Error)]
pub(super) enum SessionsError {
    #[error("all {0} sessions are in use: try again later")]
    Full(usize),
    #[error("the `initialize` request is larger than {} KiB", MAX_BEGINNING_SIZE / 1024)]
    LargeBeginning,
    #[error(transparent)]
    Session(#[from] LocalSessionManagerError),
}

impl Sessions {
    pub(super) fn new(all: LocalSessionManager, most: usize) -> Arc<Self> {
        Arc::new(Self {
            all,
            most,
            beginning: tokio::sync::Mutex::default(),
            uses: Mutex::default(),
        })
    }

    /// Registers a request of a session, if the session exists.
    pub(super) fn used(self: &Arc<Self>, id: &str) -> Option<InUse> {
        let id = SessionId::from(id);
        self.lock().get_mut(&id)?.requests += 1;
        Some(InUse {
            sessions: Arc::clone(self),
            id,
        })
    }

    /// If there is no room for another session, closes the one that has been unused the longest.
    async fn make_room(&self) -> Result<(), SessionsError> {
        let open: Vec<SessionId> = self.all.sessions.read().await.keys().cloned().collect();
        let unused = {
            let mut uses = self.lock();
            uses.retain(|id, session| session.requests > 0 || open.contains(id));
            if open.len() < self.most {
                return Ok(());
            }
            let unused = uses.iter().filter(|(_, session)| session.requests == 0);
            let longest = unused.min_by_key(|(_, session)| session.since);
            longest
                .map(|(id, _)| Arc::clone(id))
                .ok_or(SessionsError::Full(self.most))?
        };
        Ok(self.all.close_session(&unused).await?)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Use>> {
        // No code that holds the lock can leave the map in an inconsistent state.
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        if let Some(session) = self.sessions.lock().get_mut(&self.id) {
            session.requests -= 1;
            session.since = Instant::now();
        }
    }
}

impl SessionManager for Sessions {
    type Error = SessionsError;
    type Transport = Numbered<SessionTransport>;

    async fn create_session(&self) -> Result<(SessionId, Self::Transport), SessionsError> {
        let _beginning = self.beginning.lock().await;
        self.make_room().await?;
        let (id, transport) = self.all.create_session().await?;
        let ids = Ids::default();
        let unused = Use {
            requests: 0,
            since: Instant::now(),
            ids: ids.clone(),
        };
        self.lock().insert(Arc::clone(&id), unused);
        Ok((id, Numbered::new(transport, ids)))
    }

    async fn initialize_session(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<ServerJsonRpcMessage, SessionsError> {
        // The library keeps the client's description of itself as long as the session exists.
        if serde_json::to_vec(&message).map_or(usize::MAX, |message| message.len()) > MAX_BEGINNING_SIZE {
            self.all.close_session(id).await?;
            return Err(SessionsError::LargeBeginning);
        }
        Ok(self.all.initialize_session(id, message).await?)
    }

    async fn has_session(&self, id: &SessionId) -> Result<bool, SessionsError> {
        Ok(self.all.has_session(id).await?)
    }

    async fn close_session(&self, id: &SessionId) -> Result<(), SessionsError> {
        Ok(self.all.close_session(id).await?)
    }

    async fn create_stream(
        &self,
        id: &SessionId,
        mut message: ClientJsonRpcMessage,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, SessionsError> {
        let ids = self
            .lock()
            .get(id)
            .map(|session| session.ids.clone())
            .unwrap_or_default();
        if let JsonRpcMessage::Request(request) = &message {
            ids.settled(&request.id).await;
        }
        let begun = calls::begin(&mut message, &ids, || Ok(None));
        let stream: Pin<Box<dyn Stream<Item = ServerSseMessage> + Send + Sync>> = match (begun, &message) {
            // The library would lose the answer to the first request with this id.
            (Err(error), JsonRpcMessage::Request(request)) => {
                let refusal = JsonRpcMessage::error(error, Some(request.id.clone()));
                Box::pin(tokio_stream::once(ServerSseMessage::from_message(refusal)))
            }
            _ => Box::pin(self.all.create_stream(id, message).await?),
        };
        Ok(stream)
    }

    async fn accept_message(&self, id: &SessionId, message: ClientJsonRpcMessage) -> Result<(), SessionsError> {
        Ok(self.all.accept_message(id, message).await?)
    }

    async fn create_standalone_stream(
        &self,
        id: &SessionId,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, SessionsError> {
        Ok(self.all.create_standalone_stream(id).await?)
    }

    async fn resume(
        &self,
        id: &SessionId,
        last_event_id: String,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, SessionsError> {
        Ok(self.all.resume(id, last_event_id).await?)
    }
}
