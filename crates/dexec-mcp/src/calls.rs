//! Requests that are not answered yet: their ids, and the memory that is reserved for them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rmcp::model::{
    ClientJsonRpcMessage, ClientNotification, ErrorCode, GetExtensions as _, JsonRpcMessage, RequestId,
    ServerJsonRpcMessage,
};
use rmcp::transport::Transport;
use rmcp::{ErrorData, RoleServer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Messages up to this size have their own room, which larger ones can't use up.
const SMALL: usize = 64 * 1024;

/// The room for larger messages that are not answered yet, in bytes.
const LARGE_ROOM: usize = 16 * 1024 * 1024;

/// The room that a call takes in addition to its message, in bytes.
const CALL: usize = 16 * 1024;

/// How many small calls may wait for their turn.
const WAITING_CALLS: usize = 1024;

/// Room is counted in KiB.
const UNIT: usize = 1024;

/// The room that a request occupies, set when it has arrived completely.
pub(crate) type HeldRoom = Arc<OnceLock<OwnedSemaphorePermit>>;

/// The room for the requests of all clients, until they are answered.
#[derive(Debug)]
pub(crate) struct Room {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

impl Room {
    /// Creates room for `running` calls, and for some that wait.
    pub(crate) fn new(running: usize) -> Self {
        let small = (running + WAITING_CALLS) * (CALL + UNIT) / UNIT;
        Self {
            small: Arc::new(Semaphore::new(small)),
            large: Arc::new(Semaphore::new((LARGE_ROOM + CALL) / UNIT)),
        }
    }

    /// Reserves room for a message of this size, until the returned permit is dropped.
    pub(crate) fn take(&self, length: usize) -> Result<OwnedSemaphorePermit, ErrorData> {
        let room = if length <= SMALL { &self.small } else { &self.large };
        let units = u32::try_from((length + CALL) / UNIT).unwrap_or(u32::MAX);
        Arc::clone(room).try_acquire_many_owned(units).map_err(|_| {
            let message = "the server has all the calls that it can hold: try again when some are answered";
            ErrorData::new(ErrorCode::INTERNAL_ERROR, message, None)
        })
    }
}

/// The ids of one client's requests that are not answered yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ids(Arc<Mutex<HashMap<RequestId, Progress>>>);

#[derive(Debug, Default)]
struct Progress {
    /// The request has been handled completely.
    is_over: bool,
    /// The request was cancelled and gets no answer.
    is_cancelled: bool,
    /// The answer is being sent.
    is_answered: bool,
}

/// A request that is being handled, until this is dropped.
#[derive(Debug)]
pub(crate) struct Handled {
    ids: Ids,
    id: RequestId,
}

impl Ids {
    /// Registers a request. Answers refer to requests by id only, so an id in use is refused.
    pub(crate) fn begin(&self, id: &RequestId) -> Result<Handled, ErrorData> {
        let mut ids = self.lock();
        if ids.contains_key(id) {
            let message = format!(
                "a request with the id {} is not answered yet: give each request an id of its own",
                serde_json::to_string(id).unwrap_or_default()
            );
            return Err(ErrorData::new(ErrorCode::INVALID_REQUEST, message, None));
        }
        ids.insert(id.clone(), Progress::default());
        Ok(Handled {
            ids: self.clone(),
            id: id.clone(),
        })
    }

    pub(crate) fn answered(&self, id: &RequestId) {
        self.lock().remove(id);
    }

    /// Processes a cancellation: a cancelled request gets no answer, so its id becomes free as soon as it has been
    /// handled.
    pub(crate) fn heard(&self, message: &ClientJsonRpcMessage) {
        if let JsonRpcMessage::Notification(notification) = message
            && let ClientNotification::CancelledNotification(cancelled) = &notification.notification
            && let Some(id) = &cancelled.params.request_id
        {
            self.change(id, |progress| progress.is_cancelled = true);
        }
    }

    /// Waits while the answer to an earlier request with this id is being sent: the client may have received it
    /// already.
    pub(crate) async fn settled(&self, id: &RequestId) {
        let is_answered = || self.lock().get(id).is_some_and(|progress| progress.is_answered);
        while is_answered() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn change(&self, id: &RequestId, change: impl FnOnce(&mut Progress)) {
        let mut ids = self.lock();
        if let Some(progress) = ids.get_mut(id) {
            change(progress);
            if progress.is_over && progress.is_cancelled {
                ids.remove(id);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RequestId, Progress>> {
        // No code that holds the lock can leave the map in an inconsistent state.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Handled {
    fn drop(&mut self) {
        self.ids.change(&self.id, |progress| progress.is_over = true);
    }
}

/// The resources of a request, while it is being handled.
#[derive(Clone)]
struct Held {
    _parts: Arc<(Handled, Option<OwnedSemaphorePermit>)>,
}

/// Registers a request; other messages need no resources. They are released when the request has been handled.
pub(crate) fn begin(
    message: &mut ClientJsonRpcMessage,
    ids: &Ids,
    room: impl FnOnce() -> Result<Option<OwnedSemaphorePermit>, ErrorData>,
) -> Result<(), ErrorData> {
    if let JsonRpcMessage::Request(request) = message {
        let handled = ids.begin(&request.id)?;
        let room = room().inspect_err(|_| ids.answered(&request.id))?;
        let held = Held {
            _parts: Arc::new((handled, room)),
        };
        request.request.extensions_mut().insert(held);
    }
    Ok(())
}

/// Returns the id of the request that a message answers.
pub(crate) fn answered_by(message: &ServerJsonRpcMessage) -> Option<RequestId> {
    match message {
        JsonRpcMessage::Response(response) => Some(response.id.clone()),
        JsonRpcMessage::Error(error) => error.id.clone(),
        _ => None,
    }
}

/// A client's messages over a transport that routes by id: an id is in use until its answer has been sent.
pub(crate) struct Numbered<T> {
    inner: T,
    ids: Ids,
}

impl<T> Numbered<T> {
    pub(crate) fn new(inner: T, ids: Ids) -> Self {
        Self { inner, ids }
    }
}

impl<T: Transport<RoleServer>> Transport<RoleServer> for Numbered<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        message: ServerJsonRpcMessage,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        let (ids, id) = (self.ids.clone(), answered_by(&message));
        if let Some(id) = &id {
            ids.change(id, |progress| progress.is_answered = true);
        }
        let sent = self.inner.send(message);
        async move {
            let sent = sent.await;
            if let Some(id) = id {
                ids.answered(&id);
            }
            sent
        }
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        let message = self.inner.receive().await?;
        self.ids.heard(&message);
        Some(message)
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.inner.close().await
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn cancel(ids: &Ids) {
        let message = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
        ids.heard(&serde_json::from_str(message).unwrap());
    }

    #[test]
    fn an_id_is_free_when_its_request_is_answered_or_cancelled_and_over() {
        let (ids, id) = (Ids::default(), RequestId::Number(1));
        let handled = ids.begin(&id).unwrap();
        assert!(ids.begin(&id).is_err());
        assert!(ids.begin(&RequestId::String("1".into())).is_ok());
        drop(handled);
        assert!(ids.begin(&id).is_err(), "its answer is not sent yet");
        ids.answered(&id);

        let handled = ids.begin(&id).unwrap();
        cancel(&ids);
        assert!(ids.begin(&id).is_err(), "it still runs");
        drop(handled);
        let handled = ids.begin(&id).unwrap();
        drop(handled);
        cancel(&ids);
        assert!(ids.begin(&id).is_ok());
    }

    #[test]
    fn large_messages_leave_room_for_small_ones() {
        let room = Room::new(32);
        let large: Vec<_> = std::iter::from_fn(|| room.take(crate::message::LARGEST).ok()).collect();
        assert!((1..=2).contains(&large.len()), "{}", large.len());
        let small: Vec<_> = std::iter::from_fn(|| room.take(1000).ok()).collect();
        assert!(small.len() > WAITING_CALLS, "{}", small.len());
        drop(large);
        assert!(room.take(crate::message::LARGEST).is_ok() && room.take(1000).is_err());
    }
}
