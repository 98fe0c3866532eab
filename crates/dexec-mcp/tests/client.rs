//! A client of the real `dexec-mcp` binary. Every answer is checked against the tool's own output schema.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rmcp::model::{
    CallToolRequest, CallToolRequestParams, CallToolResult, ClientRequest, ProgressNotificationParam, ServerResult,
    Tool,
};
use rmcp::service::{NotificationContext, PeerRequestOptions, RequestHandle, RunningService};
use rmcp::{ClientHandler, RoleClient, ServiceExt as _};
use serde_json::Value;
use tokio::process::{Child, Command};

/// The longest time that a server takes to end.
const MAX_END_LEN: Duration = Duration::from_secs(180);

pub struct Client {
    pub service: RunningService<RoleClient, Listener>,
    pub child: Child,
    schemas: HashMap<String, Value>,
}

/// Records the progress notifications.
#[derive(Clone, Default)]
pub struct Listener {
    pub progress: Arc<Mutex<Vec<ProgressNotificationParam>>>,
}

impl ClientHandler for Listener {
    async fn on_progress(&self, progress: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        self.progress.lock().expect("no thread panics").push(progress);
    }
}

/// An answer of a tool. Without an output schema, `structure` is null.
#[derive(Clone, Debug)]
pub struct Answer {
    pub structure: Value,
    pub text: String,
    pub is_error: bool,
}

/// The server with these options. It uses the engine in `DOCKER_HOST`.
pub fn server<A: AsRef<OsStr>>(options: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dexec-mcp"));
    command
        .args(options)
        .env_remove("DEXEC_MCP_TOKEN")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

impl Client {
    pub async fn start(options: &[&str]) -> Self {
        Self::of(server(options)).await
    }

    pub async fn of(mut server: Command) -> Self {
        let mut child = server.spawn().expect("the server can be started");
        let stdin = child.stdin.take().expect("it is a pipe");
        let stdout = child.stdout.take().expect("it is a pipe");
        let service = Listener::default().serve((stdout, stdin)).await;
        let service = service.expect("the server initializes");
        let tools = service.list_all_tools().await.expect("the tools are listed");
        let schemas = tools
            .into_iter()
            .filter_map(|tool| Some((tool.name.to_string(), output_schema(&tool)?)));
        Self {
            child,
            schemas: schemas.collect(),
            service,
        }
    }

    pub async fn exec(&self, arguments: Value) -> Answer {
        self.call("exec", arguments).await
    }

    /// Runs a command in the shell container.
    pub async fn shell(&self, script: &str, more: Value) -> Answer {
        let arguments = serde_json::json!({ "container": "dexec-shell", "command": ["sh", "-c", script] });
        self.exec(test_support::api::merged(arguments, more)).await
    }

    pub async fn call(&self, tool: &str, arguments: Value) -> Answer {
        let result = self.service.call_tool(params(tool, arguments)).await;
        self.checked(tool, &result.expect("there is an answer"))
    }

    /// Starts a call that can be cancelled.
    pub async fn begin(&self, arguments: Value) -> RequestHandle<RoleClient> {
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(params("exec", arguments)));
        let options = PeerRequestOptions::no_options();
        let begun = self.service.send_cancellable_request(request, options).await;
        begun.expect("the request can be sent")
    }

    pub async fn end_of(&self, call: RequestHandle<RoleClient>) -> Answer {
        let result = call.await_response().await.expect("there is an answer");
        let ServerResult::CallToolResult(result) = result else {
            panic!("no answer of a tool: {result:?}");
        };
        self.checked("exec", &result)
    }

    #[track_caller]
    fn checked(&self, tool: &str, result: &CallToolResult) -> Answer {
        let structure = match (self.schemas.get(tool), result.structured_content.clone()) {
            (Some(schema), Some(structure)) => {
                if let Err(fault) = jsonschema::validate(schema, &structure) {
                    panic!("the answer does not match its schema: {fault}: {structure}");
                }
                structure
            }
            (None, None) => Value::Null,
            (_, structure) => panic!("an answer has a structured part if its tool has a schema: {structure:?}"),
        };
        let [content] = result.content.as_slice() else {
            panic!("not one content: {:?}", result.content);
        };
        let text = content.as_text().expect("it is text").text.clone();
        assert!(!text.is_empty(), "{structure}");
        Answer {
            structure,
            text,
            is_error: result.is_error.expect("it is reported"),
        }
    }

    /// Closes the server's standard input, and waits for the server to end. Returns its exit code and standard error.
    pub async fn close(self) -> (Option<i32>, String) {
        let Self { service, child, .. } = self;
        service.cancel().await.expect("the client ends");
        ended(child).await
    }
}

pub async fn ended(child: Child) -> (Option<i32>, String) {
    let output = tokio::time::timeout(MAX_END_LEN, child.wait_with_output()).await;
    let output = output.expect("the server ends").expect("its output can be read");
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

fn params(tool: &str, arguments: Value) -> CallToolRequestParams {
    let Value::Object(arguments) = arguments else {
        panic!("arguments are an object");
    };
    CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments)
}

pub fn output_schema(tool: &Tool) -> Option<Value> {
    let schema = tool.output_schema.as_ref()?;
    Some(Value::Object(schema.as_ref().clone()))
}
