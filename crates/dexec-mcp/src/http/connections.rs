//! Limits the number of connections: an idle one is closed to make room for a new one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use dexec::CancellationToken;

/// The open connections, and their maximum number.
#[derive(Debug)]
pub(super) struct Connections {
    most: usize,
    all: Mutex<All>,
}

#[derive(Debug, Default)]
struct All {
    last: u64,
    open: BTreeMap<u64, Open>,
}

#[derive(Debug)]
struct Open {
    used_for: Use,
    since: Instant,
    close: CancellationToken,
}

/// What a connection is used for, in the order in which connections are closed to make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Use {
    /// There is no request, or an incomplete one.
    Nothing,
    /// The client listens on a stream.
    Listening,
    /// A call. The connection is never closed to make room.
    Call,
}

/// An open connection, until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    connections: Arc<Connections>,
    number: u64,
    closed: CancellationToken,
}

/// A use of a connection, until this is dropped.
#[derive(Debug)]
pub(super) struct Used(Arc<Place>);

impl Connections {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            all: Mutex::default(),
        })
    }

    /// Registers a new connection. Returns `None` if all connections are used for calls.
    pub(super) fn open(self: &Arc<Self>) -> Option<Arc<Place>> {
        let mut all = self.lock();
        if all.open.len() >= self.most && !all.make_room() {
            return None;
        }
        all.last += 1;
        let (number, close) = (all.last, CancellationToken::new());
        let open = Open {
            used_for: Use::Nothing,
            since: Instant::now(),
            close: close.clone(),
        };
        all.open.insert(number, open);
        Some(Arc::new(Place {
            connections: Arc::clone(self),
            number,
            closed: close,
        }))
    }

    /// Closes the connection that is needed least.
    pub(super) fn make_room(&self) {
        self.lock().make_room();
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        // No code that holds the lock can leave the map in an inconsistent state.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl All {
    fn make_room(&mut self) -> bool {
        let open = self.open.iter().filter(|(_, open)| open.used_for < Use::Call);
        let least = open.min_by_key(|(_, open)| (open.used_for, open.since));
        let Some(number) = least.map(|(number, _)| *number) else {
            return false;
        };
        if let Some(open) = self.open.remove(&number) {
            open.close.cancel();
        }
        true
    }
}

impl Place {
    /// Waits until the connection must close to make room for another.
    pub(super) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// Notes that a request has begun to arrive.
    pub(super) fn heard(&self) {
        self.set(Use::Nothing);
    }

    /// Notes what the connection is used for from now on.
    pub(super) fn used(self: &Arc<Self>, used_for: Use) -> Used {
        self.set(used_for);
        Used(Arc::clone(self))
    }

    fn set(&self, used_for: Use) {
        if let Some(open) = self.connections.lock().open.get_mut(&self.number) {
            (open.used_for, open.since) = (used_for, Instant::now());
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.lock().open.remove(&self.number);
    }
}

impl Drop for Used {
    fn drop(&mut self) {
        self.0.set(Use::Nothing);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn least_needed_connection_is_closed_when_full() {
        let connections = Connections::new(3);
        let [call, listener, idle] = std::array::from_fn(|_| connections.open().unwrap());
        let _call = call.used(Use::Call);
        let _listening = listener.used(Use::Listening);
        let is_closed = |place: &Place| place.closed.is_cancelled();
        let next = connections.open().unwrap();
        assert!(is_closed(&idle) && !is_closed(&listener) && !is_closed(&next));
        let used = next.used(Use::Call);
        drop(idle);
        let last = connections.open().unwrap();
        assert!(is_closed(&listener) && !is_closed(&last));
        let _used = last.used(Use::Call);
        assert!(connections.open().is_none());
        drop(used);
        let newest = connections.open().unwrap();
        assert!(is_closed(&next) && !is_closed(&newest) && !is_closed(&call));
        assert_eq!(connections.lock().open.len(), 3);
    }
}
