//! Where a command's output goes.

mod capture;
mod sink;

pub use capture::{CAPTURE_LIMIT, Capture, Captured};
pub use sink::{Output, Stream};
