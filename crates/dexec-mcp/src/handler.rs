//! What a client can request: the tools, their schemas, and calls of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, Implementation, JsonObject, ListToolsResult,
    PaginatedRequestParams, ProgressNotificationParam, ProgressToken, ServerCapabilities, ServerConfig, Tool,
    ToolAnnotations,
};
use rmcp::service::{Peer, RequestContext};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::answer::Answers;
use crate::caller::{Caller, Connection};
use crate::calls;
use crate::containers::{self, ContainerList};
use crate::exec::{Call, CallProgress};
use crate::input::ExecInput;
use crate::schema;
use crate::server::{Server, Settings};

/// How often a client that asked for progress is told that its command is still running. Many clients give up after a
/// minute without a message.
const PROGRESS: Duration = Duration::from_secs(5);

/// The server as one client sees it.
#[derive(Clone)]
pub(crate) struct Handler {
    server: Arc<Server>,
    exec: Tool,
    /// The schema that calls of `exec` are checked against. It has parameters that the tool does not list.
    exec_schema: Arc<JsonObject>,
    containers: Tool,
}

impl Handler {
    pub(crate) fn new(server: Arc<Server>) -> Self {
        let settings = &server.settings;
        let schema = ExecInput::schema(settings.default_compact, settings.default_timeout);
        let (mut exec, mut containers) = (exec_tool(settings, &schema), containers_tool());
        if settings.answers == Answers::Text {
            // An output schema requires a structured part.
            exec.output_schema = None;
            containers.output_schema = None;
        }
        Self {
            server,
            exec,
            exec_schema: Arc::new(schema),
            containers,
        }
    }

    async fn call_exec(
        &self,
        arguments: JsonObject,
        cx: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        let cancel = self.server.end.child_token();
        // If the client no longer waits for the answer, the command is still stopped.
        let _guard = cancel.clone().drop_guard();
        let connection = Connection::of(&cx);
        let seen = Arc::default();
        let call = Call {
            server: Arc::clone(&self.server),
            schema: Arc::clone(&self.exec_schema),
            arguments,
            caller: Caller::of(&cx, connection.as_ref()),
            cancel: cancel.clone(),
            id_size: serde_json::to_vec(calls::client_id(&cx.extensions).unwrap_or(&cx.id)).map_or(0, |id| id.len()),
            progress: Arc::clone(&seen),
        };
        let mut answer = self.server.calls.spawn(call.answer());
        let mut progress = Progress::new(&cx, seen);
        let gone = async {
            match &connection {
                Some(connection) => connection.gone.cancelled().await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(gone);
        loop {
            tokio::select! {
                answer = &mut answer => {
                    // The panic's message is on standard error.
                    return answer.map_err(|_| ErrorData::internal_error("internal error in dexec-mcp: see its standard error", None));
                }
                () = cx.ct.cancelled(), if !cancel.is_cancelled() => cancel.cancel(),
                () = &mut gone, if !cancel.is_cancelled() => cancel.cancel(),
                () = progress.tell() => {}
            }
        }
    }
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        let server = Implementation::new("dexec-mcp", env!("CARGO_PKG_VERSION"));
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(server)
            .with_instructions("Run commands in running containers with `exec`; `containers` lists them.")
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(vec![
            self.exec.clone(),
            self.containers.clone(),
        ]))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        [&self.exec, &self.containers]
            .into_iter()
            .find(|tool| tool.name == name)
            .cloned()
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = request.arguments.unwrap_or_default();
        let result = match request.name.as_ref() {
            "exec" => self.call_exec(arguments, cx).await?,
            "containers" if !arguments.is_empty() => {
                return Err(ErrorData::invalid_params(
                    "the tool `containers` takes no parameters",
                    None,
                ));
            }
            "containers" => tokio::select! {
                listed = containers::list(&self.server) => listed,
                () = cx.ct.cancelled() => return Err(ErrorData::internal_error("the call was cancelled", None)),
            },
            name => {
                let message = format!("unknown tool `{name}`: the tools are exec and containers");
                return Err(ErrorData::invalid_params(message, None));
            }
        };
        Ok(result.into())
    }
}

fn exec_tool(settings: &Settings, schema: &JsonObject) -> Tool {
    let time = match settings.default_timeout {
        Some(time) => format!("after `timeout` ({} by default)", humantime::format_duration(time)),
        None => "after `timeout`, if given".to_owned(),
    };
    let description = format!(
        "Executes a command inside a running container (Docker or Podman) and returns its output and exit code. The \
         command and all its processes are stopped {time}. Up to {} characters of each stream are returned unless \
         `limit` is given. WARNING: may execute untrusted code.",
        settings.default_limit
    );
    let schema = ExecInput::listed_schema(schema, settings.answers, &settings.policy);
    let mut annotations = ToolAnnotations::default();
    annotations.read_only_hint = Some(false);
    annotations.destructive_hint = Some(true);
    annotations.idempotent_hint = Some(false);
    annotations.open_world_hint = Some(true);
    Tool::new("exec", description, Arc::new(schema))
        .with_title("Docker Exec")
        .with_raw_output_schema(Arc::new(schema::of_response()))
        .with_annotations(annotations)
}

fn containers_tool() -> Tool {
    #[derive(schemars::JsonSchema)]
    #[schemars(deny_unknown_fields)]
    struct NoParameters {}

    let mut annotations = ToolAnnotations::default();
    annotations.read_only_hint = Some(true);
    annotations.idempotent_hint = Some(true);
    annotations.open_world_hint = Some(false);
    Tool::new(
        "containers",
        "Lists the running containers that `exec` can be used on.",
        Arc::new(schema::of_input::<NoParameters>()),
    )
    .with_title("Running containers")
    .with_raw_output_schema(Arc::new(schema::of_output::<ContainerList>()))
    .with_annotations(annotations)
}

/// Reports to a client that a command is still running.
struct Progress {
    /// The client and its token, if it asked for progress.
    to: Option<(Peer<RoleServer>, ProgressToken)>,
    begun: Instant,
    ticks: Interval,
    seen: Arc<CallProgress>,
}

impl Progress {
    fn new(cx: &RequestContext<RoleServer>, seen: Arc<CallProgress>) -> Self {
        let begun = Instant::now();
        let mut ticks = interval_at(begun + PROGRESS, PROGRESS);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            to: cx.meta.get_progress_token().map(|token| (cx.peer.clone(), token)),
            begun,
            ticks,
            seen,
        }
    }

    /// Waits for the next tick, and reports the progress. It never completes if the client did not ask for progress.
    async fn tell(&mut self) {
        let Some((peer, token)) = &self.to else {
            return std::future::pending().await;
        };
        self.ticks.tick().await;
        let seconds = self.begun.elapsed().as_secs();
        let message = if self.seen.has_begun.load(Ordering::Relaxed) {
            let written = self.seen.written.load(Ordering::Relaxed);
            format!("running, {written} bytes of output so far")
        } else {
            "waiting in the queue: other commands are running".to_owned()
        };
        #[expect(clippy::cast_precision_loss, reason = "no command runs for so long")]
        let progress = ProgressNotificationParam::new(token.clone(), seconds as f64).with_message(message);
        // If this fails, the end of the connection is noticed elsewhere.
        let _ = peer.notify_progress(progress).await;
    }
}
