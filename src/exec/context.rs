//! The state that all commands on one engine share.

use std::sync::Arc;

use crate::api::Api;

use super::stop::Stopper;
use super::stop_tracker::StopTracker;

#[derive(Clone, Debug)]
pub(super) struct Context {
    pub(super) api: Api,
    pub(super) stopper: Stopper,
    /// The commands that are being stopped in the background.
    pub(super) stops: Arc<StopTracker>,
}

impl Context {
    pub(super) fn new(api: Api) -> Self {
        Self {
            stopper: Stopper::new(api.clone()),
            api,
            stops: Arc::default(),
        }
    }
}
