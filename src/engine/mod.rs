//! How to reach an engine: the few calls that are made, and what its refusals mean.

mod answers;
mod refusal;
mod socket;
mod start_failure;
mod transport;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bollard::exec::StartExecOptions;
use bollard::models::ExecConfig;
use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_TYPE, UPGRADE};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;

use crate::endpoint::{Endpoint, Origin};
use crate::error::{Error, ErrorKind};
use crate::request::{ContainerName, Spec};

use refusal::Refusal;
pub(crate) use socket::Socket;
pub(crate) use start_failure::{is_podman_start_failure, start_failure};
use transport::{Transport, TransportError};

/// How long one call may take, its answer's body included. Docker was seen to hold an inspect for 2 s.
const CALL_TIME: Duration = Duration::from_secs(90);

/// Podman waits for no time before it starts a container anew.
const RESTART_TIME: Duration = Duration::from_millis(500);

/// How many names of containers an error lists.
const MOST_NAMES: usize = 10;

const START: &str = "start the command";

/// A list of ten thousand containers is smaller.
const LARGEST_ANSWER: usize = 16 * 1024 * 1024;

/// No refusal of an engine is longer.
const LONGEST_REFUSAL: usize = 64 * 1024;

/// A container engine at an [`Endpoint`].
///
/// Nothing is sent before the first call. It needs a tokio runtime with time and I/O enabled.
#[derive(Debug)]
pub struct Engine {
    transport: Arc<Transport>,
    docker: Docker,
    is_podman: Arc<AtomicBool>,
}

/// One container, as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Container {
    /// The full id.
    pub id: String,
    /// The name, without the slash that engines put before it.
    pub name: String,
    /// The image it was made from, as it was named then.
    pub image: String,
    /// Whether it runs; a paused one does not.
    pub is_running: bool,
}

/// A command that the engine has created, in the engines' own grammar, so that it can't become another request.
#[derive(Clone, Debug)]
pub(crate) struct ExecId(String);

/// What an engine tells of a command.
#[derive(Debug)]
pub(crate) struct ExecState {
    pub(crate) is_running: bool,
    pub(crate) exit_code: Option<i64>,
    /// A process was made for it. Podman forgets that when the process ends.
    pub(crate) has_pid: bool,
}

/// The open connection to a started command.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) socket: Socket,
    /// What came behind the head of the engine's answer.
    pub(crate) early: Bytes,
}

/// What became of a container.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ContainerState {
    Running,
    NotRunning,
    Gone,
}

impl Engine {
    /// An engine at this endpoint. No connection is made yet.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`] when the endpoint can't be used.
    pub fn connect(endpoint: &Endpoint) -> Result<Self, Error> {
        let transport = Arc::new(Transport::new(endpoint.clone()));
        let is_podman = Arc::new(AtomicBool::new(false));
        let carrier = {
            let (transport, is_podman) = (Arc::clone(&transport), Arc::clone(&is_podman));
            move |request: BollardRequest| {
                let (transport, is_podman) = (Arc::clone(&transport), Arc::clone(&is_podman));
                async move {
                    let response = transport
                        .send(request.map(BodyExt::boxed_unsync))
                        .await
                        .map_err(|error| bollard::errors::Error::from(std::io::Error::other(error)))?;
                    if transport::is_podman(&response) {
                        is_podman.store(true, Ordering::Relaxed);
                    }
                    Ok(response)
                }
            }
        };
        // The address only fills in a URL of which the transport takes the path. The time is bounded here and there.
        let docker = Docker::connect_with_custom_transport(
            carrier,
            Some("http://engine"),
            CALL_TIME.as_secs(),
            API_DEFAULT_VERSION,
        )
        .map_err(|error| Error::invalid(format!("the engine at {} can't be used: {error}", endpoint.address())))?;
        Ok(Self {
            transport,
            docker,
            is_podman,
        })
    }

    /// The endpoint at which the engine is.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        self.transport.endpoint()
    }

    /// Every container of the engine, running or not.
    ///
    /// # Errors
    ///
    /// The engine can't be reached, or refuses.
    pub async fn containers(&self) -> Result<Vec<Container>, Error> {
        let listed: Result<Vec<answers::Listed>, _> = self.get("/containers/json?all=true").await;
        listed
            .map(|listed| listed.into_iter().map(Container::from).collect())
            .map_err(|refusal| refusal.into_error("list containers", self.endpoint(), None))
    }

    /// Whether an answer has shown the engine to be Podman.
    pub(crate) fn is_podman(&self) -> bool {
        self.is_podman.load(Ordering::Relaxed)
    }

    pub(crate) async fn create_exec(&self, spec: &Spec, attach_stdin: bool) -> Result<ExecId, Error> {
        let what = "create the command";
        let attach = !spec.is_detached;
        let config = ExecConfig {
            attach_stdin: Some(attach && attach_stdin),
            attach_stdout: Some(attach),
            attach_stderr: Some(attach),
            tty: Some(false),
            env: (!spec.env.is_empty()).then(|| spec.env.clone()),
            cmd: Some(spec.command.clone()),
            privileged: spec.is_privileged.then_some(true),
            user: spec.user.clone(),
            working_dir: spec.workdir.clone(),
            ..ExecConfig::default()
        };
        let created = call(self.docker.create_exec(spec.container.as_str(), config))
            .await
            .and_then(|created| ExecId::parse(created.id));
        self.or_refused(what, created, &spec.container).await
    }

    /// Starts a command and gives the connection over which its streams go.
    ///
    /// bollard's own start decodes the stream in a way that loses bytes; so this request is made here, over the same
    /// transport.
    pub(crate) async fn start_attached(&self, id: &ExecId, container: &ContainerName) -> Result<Attached, Error> {
        let attached = within_time(async {
            let request = Request::post(format!("/exec/{}/start", id.0))
                .header(CONTENT_TYPE, "application/json")
                .header(CONNECTION, "Upgrade")
                .header(UPGRADE, "tcp")
                .body(transport::body(r#"{"Detach":false,"Tty":false}"#))
                .map_err(broken)?;
            let response = self.transport.send(request).await?;
            match response.status() {
                StatusCode::SWITCHING_PROTOCOLS => {
                    let upgraded = hyper::upgrade::on(response).await.map_err(TransportError::Http)?;
                    let parts = upgraded.downcast::<TokioIo<Socket>>().map_err(|_| Refusal::NoUpgrade)?;
                    Ok(Attached {
                        socket: parts.io.into_inner(),
                        early: parts.read_buf,
                    })
                }
                status if status.is_success() => Err(Refusal::NoUpgrade),
                _ => Err(read_refusal(response).await),
            }
        })
        .await;
        self.or_refused(START, attached, container).await
    }

    pub(crate) async fn start_detached(&self, id: &ExecId, container: &ContainerName) -> Result<(), Error> {
        let options = StartExecOptions {
            detach: true,
            ..StartExecOptions::default()
        };
        let started = call(self.docker.start_exec(&id.0, Some(options))).await;
        self.or_refused(START, started.map(|_| ()), container).await
    }

    /// What the engine tells of a command; `None` when it does not know it any more.
    pub(crate) async fn inspect_exec(&self, id: &ExecId) -> Result<Option<ExecState>, Error> {
        match call(self.docker.inspect_exec(&id.0)).await {
            Ok(state) => Ok(Some(ExecState {
                // An answer without this field is no proof that the command has ended.
                is_running: state.running.unwrap_or(true),
                exit_code: state.exit_code,
                has_pid: state.pid.is_some_and(|pid| pid != 0),
            })),
            Err(refusal) => {
                let error = refusal.into_error("inspect the command", self.endpoint(), None);
                match error.kind() {
                    // Podman names the container, which it looks for first.
                    ErrorKind::ContainerNotRunning | ErrorKind::ContainerNotFound => Ok(None),
                    _ => Err(error),
                }
            }
        }
    }

    pub(crate) async fn container_state(&self, container: &ContainerName) -> Result<ContainerState, Error> {
        match self.inspect_container(container).await {
            Ok(inspected) if inspected.state.is_running() => Ok(ContainerState::Running),
            Ok(_) => Ok(ContainerState::NotRunning),
            Err(refusal) => {
                let error = refusal.into_error("inspect the container", self.endpoint(), Some(container));
                match error.kind() {
                    ErrorKind::ContainerNotFound => Ok(ContainerState::Gone),
                    _ => Err(error),
                }
            }
        }
    }

    async fn inspect_container(&self, container: &ContainerName) -> Result<answers::Inspected, Refusal> {
        self.get(&format!("/containers/{container}/json")).await
    }

    /// A request whose answer is read by types of our own: bollard's take no state but Docker's, and Podman has more.
    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Refusal> {
        within_time(async {
            let request = Request::get(path).body(transport::body("")).map_err(broken)?;
            let response = self.transport.send(request).await?;
            if !response.status().is_success() {
                return Err(read_refusal(response).await);
            }
            let body = Limited::new(response.into_body(), LARGEST_ANSWER)
                .collect()
                .await
                .map_err(broken)?;
            serde_json::from_slice(&body.to_bytes()).map_err(|error| Refusal::NotAnEngine(error.to_string()))
        })
        .await
    }

    /// The error of a call on a container, with what further calls can tell about it.
    async fn or_refused<T>(
        &self,
        what: &str,
        result: Result<T, Refusal>,
        container: &ContainerName,
    ) -> Result<T, Error> {
        let refusal = match result {
            Ok(value) => return Ok(value),
            Err(refusal) => refusal,
        };
        let error = refusal.into_error(what, self.endpoint(), Some(container));
        Err(match error.kind() {
            ErrorKind::ContainerNotFound => {
                let hint = self.other_containers(container).await;
                error.with_hint(&hint)
            }
            ErrorKind::ContainerNotRunning if self.is_podman() && self.restarts(container).await => {
                Error::new(ErrorKind::ContainerRestarting, refusal::restarting(container.as_str()))
                    .with_docker_text(error.docker_text())
            }
            _ => error,
        })
    }

    /// Sentences for an error: which containers have a similar name, which run, and why this engine was asked.
    async fn other_containers(&self, container: &ContainerName) -> String {
        let mut sentences = Vec::new();
        if let Ok(containers) = self.containers().await {
            let near = near_names(container.as_str(), &containers);
            if !near.is_empty() {
                sentences.push(format!("Did you mean {}?", near.join(" or ")));
            }
            let mut running = containers.iter().filter(|container| container.is_running);
            let shown: Vec<&str> = running
                .by_ref()
                .take(MOST_NAMES)
                .map(|container| container.name.as_str())
                .collect();
            sentences.push(match (shown.as_slice(), running.count()) {
                ([], _) => "No container is running".to_owned(),
                (shown, 0) => format!("Running: {}", shown.join(", ")),
                (shown, more) => format!("Running: {} and {more} more", shown.join(", ")),
            });
        }
        if let Origin::WellKnown(_) = self.endpoint().origin() {
            sentences.push(format!("(The engine is {})", self.endpoint().origin()));
        }
        sentences.join(" ")
    }

    /// Whether a container that does not run is about to run again.
    ///
    /// Docker says so itself. Podman calls the same state "stopped"; so look whether a container that has a restart
    /// policy is started anew.
    async fn restarts(&self, container: &ContainerName) -> bool {
        let Ok(before) = self.inspect_container(container).await else {
            return false;
        };
        if !before.has_restart_policy() {
            return false;
        }
        tokio::time::sleep(RESTART_TIME).await;
        let after = self.inspect_container(container).await;
        after.is_ok_and(|after| after.restart_count != before.restart_count || after.state.is_running())
    }
}

impl ExecId {
    fn parse(id: String) -> Result<Self, Refusal> {
        let is_id = !id.is_empty() && id.len() <= 128 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_id {
            Ok(Self(id))
        } else {
            Err(Refusal::NotAnEngine("it gave an id that is none".to_owned()))
        }
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

/// One call of bollard's, which bounds only the wait for the head of the answer.
async fn call<T>(call: impl Future<Output = Result<T, bollard::errors::Error>>) -> Result<T, Refusal> {
    within_time(async { call.await.map_err(Refusal::from) }).await
}

async fn within_time<T>(call: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
    tokio::time::timeout(CALL_TIME, call)
        .await
        .unwrap_or(Err(Refusal::Late(CALL_TIME)))
}

fn broken(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> TransportError {
    TransportError::Broken(error.into())
}

/// The refusal in an answer with an error status: the engines' JSON, or plain text.
async fn read_refusal(response: Response<Incoming>) -> Refusal {
    #[derive(serde::Deserialize)]
    struct Body {
        message: String,
    }

    let status = response.status().as_u16();
    match Limited::new(response.into_body(), LONGEST_REFUSAL).collect().await {
        Ok(body) => {
            let body = body.to_bytes();
            let message = serde_json::from_slice::<Body>(&body)
                .map_or_else(|_| String::from_utf8_lossy(&body).into_owned(), |body| body.message);
            Refusal::Status { status, message }
        }
        Err(error) => TransportError::Broken(error).into(),
    }
}

/// Up to three names that are similar to `wanted`, the nearest first.
fn near_names(wanted: &str, containers: &[Container]) -> Vec<String> {
    let wanted = wanted.to_lowercase();
    let mut near: Vec<(f64, &str)> = containers
        .iter()
        .map(|container| {
            let name = container.name.to_lowercase();
            let contains = name.contains(&wanted) || wanted.contains(&name) && !name.is_empty();
            let similarity = if contains {
                0.9
            } else {
                strsim::normalized_damerau_levenshtein(&wanted, &name)
            };
            (similarity, container.name.as_str())
        })
        .filter(|(similarity, _)| *similarity > 0.7)
        .collect();
    near.sort_by(|one, other| other.0.total_cmp(&one.0));
    near.into_iter().take(3).map(|(_, name)| format!("`{name}`")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn containers(names: &[&str]) -> Vec<Container> {
        names
            .iter()
            .map(|name| Container {
                id: String::new(),
                name: (*name).to_owned(),
                image: String::new(),
                is_running: true,
            })
            .collect()
    }

    #[test]
    fn near_names_are_those_a_slip_away() {
        let containers = containers(&["web-1", "database", "shop_web_1", "worker"]);
        assert_eq!(near_names("web", &containers), ["`web-1`", "`shop_web_1`"]);
        assert_eq!(near_names("databse", &containers), ["`database`"]);
        assert_eq!(near_names("WORKER", &containers), ["`worker`"]);
        assert!(near_names("zzz", &containers).is_empty());
    }

    #[test]
    fn an_exec_id_cannot_become_another_request() {
        for id in ["", "..", "abc/../x", "12?x", "xyz"] {
            assert!(ExecId::parse(id.to_owned()).is_err(), "{id}");
        }
        assert!(ExecId::parse("0123abcdef".to_owned()).is_ok());
    }
}
