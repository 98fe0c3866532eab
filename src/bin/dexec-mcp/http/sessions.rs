//! Sessions, of which one that nobody uses makes room for a new one: most clients never say that they are done.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rmcp::transport::streamable_http_server::SessionId;
use rmcp::transport::streamable_http_server::session::SessionManager as _;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;

pub(super) struct Sessions {
    manager: Arc<LocalSessionManager>,
    most: usize,
    uses: Mutex<HashMap<SessionId, Use>>,
}

struct Use {
    /// How many requests of the session are not answered to their end: a stream that is listened to is one.
    requests: usize,
    /// When the last of them was.
    since: Instant,
}

/// A request of a session, until it is dropped.
pub(super) struct InUse {
    sessions: Arc<Sessions>,
    id: SessionId,
}

impl Sessions {
    pub(super) fn new(manager: Arc<LocalSessionManager>, most: usize) -> Arc<Self> {
        Arc::new(Self {
            manager,
            most,
            uses: Mutex::default(),
        })
    }

    /// Notes a session that has begun with a request.
    pub(super) fn begun(self: &Arc<Self>, id: &str) -> Option<InUse> {
        let unused = Use {
            requests: 0,
            since: Instant::now(),
        };
        self.lock().insert(id.into(), unused);
        self.used(id)
    }

    /// Notes a request of a session, if it is one.
    pub(super) fn used(self: &Arc<Self>, id: &str) -> Option<InUse> {
        let id = SessionId::from(id);
        self.lock().get_mut(&id)?.requests += 1;
        Some(InUse {
            sessions: Arc::clone(self),
            id,
        })
    }

    /// Whether there is room for one more, if need be after the one that is unused for longest has ended.
    pub(super) async fn make_room(&self) -> bool {
        let open: Vec<SessionId> = self.manager.sessions.read().await.keys().cloned().collect();
        let unused = {
            let mut uses = self.lock();
            uses.retain(|id, session| session.requests > 0 || open.contains(id));
            if open.len() < self.most {
                return true;
            }
            let unused = uses.iter().filter(|(_, session)| session.requests == 0);
            unused
                .min_by_key(|(_, session)| session.since)
                .map(|(id, _)| Arc::clone(id))
        };
        match unused {
            Some(id) => self.manager.close_session(&id).await.is_ok(),
            None => false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Use>> {
        // No code that holds the lock can leave the map half changed.
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
