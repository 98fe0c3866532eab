//! Commands that dexec runs for its own use, which end on their own.

use crate::api::Api;
use crate::error::Error;
use crate::outcome::End;
use crate::output::Capture;
use crate::request::ExecSpec;

use super::end::resolve_exit;
use super::pump::{OutputPrefix, pump};

/// Runs a command until it ends. Returns an error if it could not be created, or if the engine did not confirm its
/// start; after a lost connection it may have started.
pub(super) async fn run(api: &Api, spec: &ExecSpec, output: &mut Capture) -> Result<End, Error> {
    let id = api.create_exec(spec, false).await?;
    let attached = api.start_attached(&id, spec).await?;
    let mut seen = OutputPrefix::default();
    let streamed = pump(attached, (None, None), output, &mut seen, (api, &id)).await;
    Ok(resolve_exit(api, spec, None, &id, streamed.map(drop), &seen).await)
}
