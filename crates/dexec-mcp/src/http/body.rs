//! Request bodies, with limits on their size, their duration, and the total size of incomplete ones.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use rmcp::ErrorData;
use rmcp::model::{ErrorCode, RequestId};
use tokio::time::Sleep;

use crate::calls::HeldRoom;
use crate::message::{LARGEST, Scan, too_large};
use crate::server::Server;

use super::connections::{Place, Use, Used};

/// How long a client may take to send the body of a request.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The most bytes of all incomplete bodies. If there are more, the oldest body is dropped.
const MAX_COMING: usize = 2 * LARGEST;

/// Why a body was refused, and the id of its request.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) error: ErrorData,
    pub(super) id: Option<RequestId>,
}

/// The results of reading a request's body.
#[derive(Debug, Default)]
pub(super) struct Fate {
    pub(super) refused: OnceLock<Refused>,
    /// Marks the connection as used for a call, as soon as the body is complete.
    used: OnceLock<Used>,
}

pub(super) struct Bounded {
    body: Incoming,
    scan: Scan,
    /// Why the rest of the body is discarded.
    fault: Option<ErrorData>,
    coming: Coming,
    late: Pin<Box<Sleep>>,
    place: Arc<Place>,
    server: Arc<Server>,
    fate: Arc<Fate>,
    room: HeldRoom,
}

impl Bounded {
    pub(super) fn new(
        body: Incoming,
        bodies: &Arc<Bodies>,
        place: Arc<Place>,
        server: Arc<Server>,
        (fate, room): (Arc<Fate>, HeldRoom),
    ) -> Self {
        Self {
            body,
            scan: Scan::default(),
            fault: None,
            coming: Bodies::begin(bodies),
            late: Box::pin(tokio::time::sleep(BODY_TIMEOUT)),
            place,
            server,
            fate,
            room,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, (StatusCode, ErrorData)>>> {
        let invalid = |message| ErrorData::new(ErrorCode::INVALID_REQUEST, message, None);
        if self.body.size_hint().lower() > LARGEST as u64 {
            return Poll::Ready(Some(Err((StatusCode::PAYLOAD_TOO_LARGE, too_large()))));
        }
        if self.late.as_mut().poll(cx).is_ready() {
            let error = invalid("the request was not received completely in time");
            return Poll::Ready(Some(Err((StatusCode::REQUEST_TIMEOUT, error))));
        }
        loop {
            if !self.coming.is_wanted(cx) {
                let error =
                    invalid("the request arrived too slowly and was dropped to make room for others: send it again");
                return Poll::Ready(Some(Err((StatusCode::SERVICE_UNAVAILABLE, error))));
            }
            let frame = match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(Some(Err(_))) => {
                    let error = invalid("the request was not received completely");
                    return Poll::Ready(Some(Err((StatusCode::BAD_REQUEST, error))));
                }
                Poll::Ready(None) => return Poll::Ready(self.end().err().map(Err)),
            };
            // Trailers are ignored.
            let Ok(bytes) = frame.into_data() else { continue };
            match self.scan.feed(&bytes) {
                Ok(()) => {
                    self.coming.add(bytes.len());
                    return Poll::Ready(Some(Ok(bytes)));
                }
                // The rest is read and discarded: it may contain the id, and some clients read no answer before they
                // have sent it all.
                Err(error) if self.scan.length() <= LARGEST => self.fault = Some(error),
                Err(error) => return Poll::Ready(Some(Err((StatusCode::PAYLOAD_TOO_LARGE, error)))),
            }
        }
    }

    /// Handles the end of a complete body: from now on it is a call.
    fn end(&mut self) -> Result<(), (StatusCode, ErrorData)> {
        if let Some(error) = self.fault.take() {
            return Err((StatusCode::PAYLOAD_TOO_LARGE, error));
        }
        let room = self.server.room.take(self.scan.length());
        let room = room.map_err(|error| (StatusCode::SERVICE_UNAVAILABLE, error))?;
        let _ = self.room.set(room);
        let _ = self.fate.used.set(self.place.used(Use::Call));
        Ok(())
    }
}

impl Body for Bounded {
    type Data = Bytes;
    type Error = TooMuch;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, TooMuch>>> {
        let body = self.get_mut();
        body.poll(cx).map(|polled| {
            polled.map(|polled| match polled {
                Ok(bytes) => Ok(Frame::data(bytes)),
                Err((status, error)) => {
                    let id = body.scan.id();
                    let _ = body.fate.refused.set(Refused { status, error, id });
                    Err(TooMuch)
                }
            })
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// [`Fate`] contains the reason.
#[derive(Debug)]
pub(super) struct TooMuch;

impl fmt::Display for TooMuch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body was rejected")
    }
}

/// All incomplete bodies.
#[derive(Debug, Default)]
pub(super) struct Bodies(Mutex<All>);

#[derive(Debug, Default)]
struct All {
    last: u64,
    size: usize,
    /// Ordered by number, so that the first body is the oldest.
    coming: BTreeMap<u64, One>,
}

#[derive(Debug, Default)]
struct One {
    size: usize,
    reader: Option<Waker>,
}

/// An incomplete body, until this is dropped.
struct Coming {
    bodies: Arc<Bodies>,
    number: u64,
}

impl Bodies {
    fn begin(bodies: &Arc<Self>) -> Coming {
        let mut all = bodies.lock();
        all.last += 1;
        let number = all.last;
        all.coming.insert(number, One::default());
        Coming {
            bodies: Arc::clone(bodies),
            number,
        }
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        // No code that holds the lock can leave the map in an inconsistent state.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl All {
    fn remove(&mut self, number: u64) {
        if let Some(one) = self.coming.remove(&number) {
            self.size -= one.size;
            if let Some(reader) = one.reader {
                reader.wake();
            }
        }
    }
}

impl Coming {
    /// Returns whether the body has not been dropped to make room. If that happens later, the reader is woken.
    fn is_wanted(&self, cx: &Context<'_>) -> bool {
        match self.bodies.lock().coming.get_mut(&self.number) {
            Some(one) => {
                one.reader = Some(cx.waker().clone());
                true
            }
            None => false,
        }
    }

    fn add(&self, size: usize) {
        let mut all = self.bodies.lock();
        if let Some(one) = all.coming.get_mut(&self.number) {
            one.size += size;
            all.size += size;
        }
        while all.size > MAX_COMING
            && let Some(first) = all.coming.first_key_value().map(|(number, _)| *number)
        {
            all.remove(first);
        }
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        self.bodies.lock().remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oldest_body_is_dropped_when_full() {
        let bodies = Arc::default();
        let cx = Context::from_waker(Waker::noop());
        let [first, second] = [Bodies::begin(&bodies), Bodies::begin(&bodies)];
        first.add(MAX_COMING - 10);
        second.add(10);
        assert!(first.is_wanted(&cx) && second.is_wanted(&cx));
        second.add(1);
        assert!(!first.is_wanted(&cx) && second.is_wanted(&cx));
        assert_eq!(bodies.lock().size, 11);
        let third = Bodies::begin(&bodies);
        third.add(MAX_COMING - 11);
        assert!(second.is_wanted(&cx));
        drop(second);
        third.add(11);
        assert!(third.is_wanted(&cx));
        drop((first, third));
        let all = bodies.lock();
        assert_eq!((all.size, all.coming.len()), (0, 0));
    }
}
