//! Requests that are not answered yet: their ids, and the memory that is reserved for them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rmcp::model::{
    ClientJsonRpcMessage, ClientNotification, ErrorCode, Extensions, GetExtensions as _, JsonRpcMessage, RequestId,
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

/// How the ids begin by which the library knows requests.
const INTERNAL: &str = "dexec-mcp-request-";

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
            let message = "the server can't hold more calls: try again when some of them are answered";
            ErrorData::new(ErrorCode::INTERNAL_ERROR, message, None)
        })
    }
}

/// The ids of one client's requests that are not answered yet.
///
/// The library routes answers and cancellations by id only, and a client may use the id of a cancelled request again
/// while the library still has its answer. So the library knows each request by an id of its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ids(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    begun: u64,
    requests: HashMap<RequestId, Progress>,
    /// The client's id of each of `requests`, by number.
    by_number: HashMap<u64, RequestId>,
}

#[derive(Debug)]
struct Progress {
    number: u64,
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
    number: u64,
}

impl Ids {
    /// Registers a request. The client can't tell apart the answers to two requests with one id, so an id in use is
    /// refused.
    pub(crate) fn begin(&self, id: &RequestId) -> Result<Handled, ErrorData> {
        let mut known = self.lock();
        if known.requests.contains_key(id) {
            let message = format!(
                "a request with the id {} is not answered yet: use a unique id for each request",
                serde_json::to_string(id).unwrap_or_default()
            );
            return Err(ErrorData::new(ErrorCode::INVALID_REQUEST, message, None));
        }
        let number = known.begun;
        known.begun += 1;
        let progress = Progress {
            number,
            is_over: false,
            is_cancelled: false,
            is_answered: false,
        };
        known.requests.insert(id.clone(), progress);
        known.by_number.insert(number, id.clone());
        Ok(Handled {
            ids: self.clone(),
            id: id.clone(),
            number,
        })
    }

    /// Replaces the client's id in a message by the one that the library knows. A cancelled request gets no answer, so
    /// its id becomes free as soon as it has been handled.
    pub(crate) fn receive(&self, message: &mut ClientJsonRpcMessage) {
        match message {
            JsonRpcMessage::Request(request) => {
                if let Some(number) = self.number(&request.id) {
                    request.id = internal(number);
                }
            }
            JsonRpcMessage::Notification(notification) => {
                if let ClientNotification::CancelledNotification(cancelled) = &mut notification.notification
                    && let Some(id) = &mut cancelled.params.request_id
                    && let Some(number) = self.number(id)
                {
                    *id = internal(number);
                    self.change(number, |progress| progress.is_cancelled = true);
                }
            }
            _ => {}
        }
    }

    fn number(&self, id: &RequestId) -> Option<u64> {
        self.lock().requests.get(id).map(|progress| progress.number)
    }

    /// Puts the client's id back into an answer. Returns the number of its request; `Err` if the request is no longer
    /// known, and the answer must not be sent.
    pub(crate) fn send(&self, message: &mut ServerJsonRpcMessage) -> Result<Option<u64>, ()> {
        let id = match message {
            JsonRpcMessage::Response(response) => Some(&mut response.id),
            JsonRpcMessage::Error(error) => error.id.as_mut(),
            _ => None,
        };
        let Some((id, number)) = id.and_then(|id| number_of(id).map(|number| (id, number))) else {
            return Ok(None);
        };
        *id = self.change(number, |progress| progress.is_answered = true).ok_or(())?;
        Ok(Some(number))
    }

    /// Frees the id of a request.
    pub(crate) fn answered(&self, number: u64) {
        let mut known = self.lock();
        if let Some(id) = known.by_number.remove(&number) {
            known.requests.remove(&id);
        }
    }

    /// Waits while the answer to an earlier request with this id is being sent: the client may have received it
    /// already.
    pub(crate) async fn settled(&self, id: &RequestId) {
        let is_answered = || {
            self.lock()
                .requests
                .get(id)
                .is_some_and(|progress| progress.is_answered)
        };
        while is_answered() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Changes what is known of a request, and returns the client's id of it; `None` if the request is no longer known.
    fn change(&self, number: u64, change: impl FnOnce(&mut Progress)) -> Option<RequestId> {
        let mut known = self.lock();
        let id = known.by_number.get(&number)?.clone();
        let progress = known.requests.get_mut(&id)?;
        change(progress);
        if progress.is_over && progress.is_cancelled {
            known.requests.remove(&id);
            known.by_number.remove(&number);
        }
        Some(id)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // No code that holds the lock can leave the maps in an inconsistent state.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The id by which the library knows the request with this number.
fn internal(number: u64) -> RequestId {
    RequestId::String(format!("{INTERNAL}{number}").into())
}

fn number_of(id: &RequestId) -> Option<u64> {
    match id {
        RequestId::String(text) => text.strip_prefix(INTERNAL)?.parse().ok(),
        RequestId::Number(_) => None,
    }
}

impl Drop for Handled {
    fn drop(&mut self) {
        self.ids.change(self.number, |progress| progress.is_over = true);
    }
}

/// The resources of a request, while it is being handled.
#[derive(Clone)]
struct Held {
    parts: Arc<(Handled, Option<OwnedSemaphorePermit>)>,
}

/// Registers a request; other messages need no resources. They are released when the request has been handled.
pub(crate) fn begin(
    message: &mut ClientJsonRpcMessage,
    ids: &Ids,
    room: impl FnOnce() -> Result<Option<OwnedSemaphorePermit>, ErrorData>,
) -> Result<(), ErrorData> {
    if let JsonRpcMessage::Request(request) = message {
        let handled = ids.begin(&request.id)?;
        let room = room().inspect_err(|_| ids.answered(handled.number))?;
        let held = Held {
            parts: Arc::new((handled, room)),
        };
        request.request.extensions_mut().insert(held);
    }
    Ok(())
}

/// Returns the client's id of the request that is being handled in this context.
pub(crate) fn client_id(extensions: &Extensions) -> Option<&RequestId> {
    extensions.get::<Held>().map(|held| &held.parts.0.id)
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
        mut message: ServerJsonRpcMessage,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        let ids = self.ids.clone();
        let sending = ids.send(&mut message).map(|number| (number, self.inner.send(message)));
        async move {
            let Ok((number, sending)) = sending else {
                return Ok(());
            };
            let sent = sending.await;
            if let Some(number) = number {
                ids.answered(number);
            }
            sent
        }
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        let mut message = self.inner.receive().await?;
        self.ids.receive(&mut message);
        Some(message)
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.inner.close().await
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn message(text: &str) -> ClientJsonRpcMessage {
        serde_json::from_str(text).unwrap()
    }

    fn cancel(ids: &Ids) {
        let text = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
        ids.receive(&mut message(text));
    }

    #[test]
    fn id_is_free_after_the_response_or_the_cancelled_call() {
        let (ids, id) = (Ids::default(), RequestId::Number(1));
        let handled = ids.begin(&id).unwrap();
        assert!(ids.begin(&id).is_err());
        assert!(ids.begin(&RequestId::String("1".into())).is_ok());
        let number = handled.number;
        drop(handled);
        assert!(ids.begin(&id).is_err(), "its answer is not sent yet");
        ids.answered(number);

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
    fn response_to_a_cancelled_request_does_not_answer_a_new_one() {
        let ids = Ids::default();
        let ping = || message(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
        let received = |request: &mut ClientJsonRpcMessage| {
            ids.receive(request);
            let JsonRpcMessage::Request(request) = request else {
                panic!("it is a request")
            };
            request.id.clone()
        };
        let answer = |id: RequestId| JsonRpcMessage::error(ErrorData::internal_error("x", None), Some(id));

        let first = ids.begin(&RequestId::Number(1)).unwrap();
        let first_id = received(&mut ping());
        cancel(&ids);
        drop(first);
        let _second = ids.begin(&RequestId::Number(1)).unwrap();
        let second_id = received(&mut ping());
        assert!(ids.send(&mut answer(first_id)).is_err());
        let mut second = answer(second_id);
        assert!(ids.send(&mut second).is_ok_and(|number| number.is_some()));
        assert!(matches!(second, JsonRpcMessage::Error(error) if error.id == Some(RequestId::Number(1))));
    }

    #[test]
    fn large_messages_leave_capacity_for_small_ones() {
        let room = Room::new(32);
        let large: Vec<_> = std::iter::from_fn(|| room.take(crate::message::LARGEST).ok()).collect();
        assert!((1..=2).contains(&large.len()), "{}", large.len());
        let small: Vec<_> = std::iter::from_fn(|| room.take(1000).ok()).collect();
        assert!(small.len() > WAITING_CALLS, "{}", small.len());
        drop(large);
        assert!(room.take(crate::message::LARGEST).is_ok() && room.take(1000).is_err());
    }
}
