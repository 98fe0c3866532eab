//! The agents in an engine's containers, shared by concurrent stops. Many commands are stopped at once when a server
//! ends or its client disconnects, and separate agents would keep the engine busy for longer than a stop may take.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::api::Api;

use super::agents::{Agents, Whose};
use super::error::{Step, StopError};

/// The agents of one container; `None` before the first use and after a failure.
type Slot = tokio::sync::Mutex<Option<Agents>>;

#[derive(Debug, Default)]
pub(super) struct SharedAgents(Mutex<HashMap<Whose, Weak<Slot>>>);

impl SharedAgents {
    fn slot(&self, whose: &Whose) -> Arc<Slot> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|_, slot| slot.strong_count() > 0);
        let used = slots.get(whose).and_then(Weak::upgrade);
        used.unwrap_or_else(|| {
            let slot = Arc::default();
            slots.insert(whose.clone(), Arc::downgrade(&slot));
            slot
        })
    }
}

/// One stop's share of the agents.
#[derive(Debug)]
pub(super) struct Share<'a> {
    api: &'a Api,
    registry: &'a SharedAgents,
    pub(super) whose: Whose,
    slot: Arc<Slot>,
}

impl<'a> Share<'a> {
    pub(super) fn of(api: &'a Api, registry: &'a SharedAgents, whose: Whose) -> Self {
        let slot = registry.slot(&whose);
        Self {
            api,
            registry,
            whose,
            slot,
        }
    }

    /// Calls `act` with exclusive access to the agents. Starts them first if there are none.
    pub(super) async fn with<T>(
        &mut self,
        step: &mut Step,
        act: impl AsyncFnOnce(&mut Agents) -> Result<T, StopError>,
    ) -> Result<T, StopError> {
        *step = Step::StartHelper;
        let mut slot = self.slot.lock().await;
        // The agents are taken out because they are unusable after an exchange that failed or was dropped.
        let mut agents = match slot.take() {
            Some(agents) => agents,
            None => Agents::start(self.api, &self.whose, step).await?,
        };
        *step = Step::Attribution;
        let done = act(&mut agents).await?;
        *slot = Some(agents);
        Ok(done)
    }

    /// Ends the agents if this is the last share, and waits until they have left the container.
    pub(super) async fn leave(self) {
        let slot = {
            // While this lock is held, no new share is created.
            let _slots = self.registry.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::into_inner(self.slot)
        };
        if let Some(agents) = slot.and_then(Slot::into_inner) {
            agents.leave().await;
        }
    }
}
