//! The agents of an engine's containers, which the stops of a time share: many commands are stopped at once when a server
//! ends or its client goes, and one agent for each would keep the engine busy for longer than a stop may take.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::api::Api;

use super::agents::{Agents, Whose};
use super::error::{Step, StopError};

/// The agents of one container; none before the first use, and after a failure.
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

/// One stop's share in the agents.
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

    /// Does something with the agents, alone. They are started first where there are none.
    pub(super) async fn with<T>(
        &mut self,
        step: &mut Step,
        act: impl AsyncFnOnce(&mut Agents) -> Result<T, StopError>,
    ) -> Result<T, StopError> {
        *step = Step::StartHelper;
        let mut slot = self.slot.lock().await;
        // Taken out: whoever fails, or is dropped, in the middle of an exchange leaves agents that nobody can use.
        let mut agents = match slot.take() {
            Some(agents) => agents,
            None => Agents::start(self.api, &self.whose, step).await?,
        };
        *step = Step::Attribution;
        let done = act(&mut agents).await?;
        *slot = Some(agents);
        Ok(done)
    }

    /// Ends the agents when this is the last share, and waits until they have left the container.
    pub(super) async fn leave(self) {
        let slot = {
            // Under the lock nobody takes a share meanwhile.
            let _slots = self.registry.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::into_inner(self.slot)
        };
        if let Some(agents) = slot.and_then(Slot::into_inner) {
            agents.leave().await;
        }
    }
}
