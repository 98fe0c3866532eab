//! The calls to an engine, and the errors of calls that fail.
//!
//! [`client`] makes the typed calls with bollard, [`http`] limits every response, and [`error`] converts a failed call
//! into the error that users see.

mod client;
mod container_end;
mod error;
mod exec;
mod exec_id;
mod http;
mod info;
mod models;
mod operation;
mod start_failure;
mod suggest;
mod unreachable;

use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::UploadToContainerOptions;
use bytes::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request};
use serde::de::DeserializeOwned;

use crate::container::{Container, ContainerDetails};
use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind, sanitize_line};
use crate::request::ContainerName;
use crate::transport::{EngineKind, Transport};

use client::CallOptions;
pub(crate) use container_end::ContainerEnd;
use error::ApiError;
pub(crate) use exec::ExecState;
pub(crate) use exec_id::ExecId;
use http::{MAX_ANSWER_SIZE, broken, from_json, read_body, read_refusal, retried, within_time};
pub use info::EngineInfo;
use operation::Operation;
pub(crate) use start_failure::{execute_failure, is_docker_start_failure, is_podman_start_failure, start_failure};
use suggest::{MAX_NAME_LEN, near_names};

/// How long to wait for a container to restart. Podman restarts a container without a delay.
const RESTART_TIMEOUT: Duration = Duration::from_millis(500);

/// The maximum number of container names in an error.
const MAX_NAMES: usize = 10;

const JSON: &str = "application/json";

/// The calls to one engine. Clones share its connections.
///
/// [`exec`] has the calls on execs; [`container_end`] and [`info`] have methods that combine several calls.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    transport: Arc<Transport>,
    docker: Docker,
}

/// The state of a container.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ContainerState {
    Running,
    Paused,
    NotRunning,
    Gone,
}

impl Api {
    pub(crate) fn new(endpoint: &Endpoint) -> Self {
        let transport = Arc::new(Transport::new(endpoint.clone()));
        Self {
            docker: client::client(&transport),
            transport,
        }
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        self.transport.endpoint()
    }

    /// Returns all containers of the engine, running or not.
    pub(crate) async fn containers(&self) -> Result<Vec<Container>, Error> {
        let listed: Result<models::ContainerSummaries, _> = self.get("/containers/json?all=true").await;
        listed
            .map(|listing| listing.0)
            .map_err(|refusal| refusal.into_error(Operation::ListContainers, self.endpoint(), None))
    }

    pub(crate) async fn container(&self, container: &ContainerName) -> Result<ContainerDetails, Error> {
        self.inspected(container).await.map(ContainerDetails::from)
    }

    /// Returns the kind of engine that its responses name.
    pub(crate) fn kind(&self) -> EngineKind {
        self.transport.kind()
    }

    /// Like `kind`, but makes a call if no response has named the engine yet.
    async fn detect_kind(&self, container: &ContainerName) -> Result<EngineKind, Error> {
        if self.kind() == EngineKind::Unknown {
            self.inspected(container).await?;
        }
        Ok(self.kind())
    }

    /// Returns the name of the processor architecture that a container's image is for. The engine is asked for its own
    /// architecture only if the image has none: on Podman this takes half a second.
    pub(crate) async fn architecture(&self, container: &ContainerName) -> Result<String, Error> {
        let inspected = self.inspected(container).await?;
        let architecture = match inspected.image_id() {
            Some(id) => self.get::<models::Image>(&format!("/images/{id}/json")).await.ok(),
            None => None,
        };
        let architecture = architecture.map(|image| image.architecture).unwrap_or_default();
        if !architecture.is_empty() {
            return Ok(sanitize_line(&architecture, MAX_NAME_LEN));
        }
        let version = retried(|| self.docker.version()).await;
        let version = self.explain(Operation::Version, version, container).await?;
        Ok(sanitize_line(&version.arch.unwrap_or_default(), MAX_NAME_LEN))
    }

    /// Returns whether users other than its owner can replace dexec's files in this directory of the container.
    pub(crate) async fn is_open_to_others(
        &self,
        container: &ContainerName,
        directory: &'static str,
    ) -> Result<bool, Error> {
        let path = format!("/containers/{container}/archive?path={directory}");
        let asked = within_time(async {
            let request = Request::head(path).body(Bytes::new().into()).map_err(broken)?;
            let response = self.transport.send(request).await?;
            if !response.status().is_success() {
                return Err(read_refusal(response).await);
            }
            models::PathStat::of(response.headers())
                .ok_or_else(|| ApiError::NotAnEngine("it does not describe the file".to_owned()))
        })
        .await;
        let stat = self.explain(Operation::StatFile, asked, container).await?;
        Ok(stat.is_open_to_others())
    }

    /// Returns the engine's list of a container's processes, with the requested columns.
    pub(crate) async fn processes(
        &self,
        container: &ContainerName,
        columns: &'static str,
    ) -> Result<Vec<Vec<String>>, Error> {
        let path = format!("/containers/{container}/top?ps_args={columns}");
        let listed = self.get::<models::Processes>(&path).await;
        let listed = self.explain(Operation::ListProcesses, listed, container).await?;
        Ok(listed.rows())
    }

    /// Unpacks a tar archive in a directory of the container. The directory's path must need no encoding in a URL.
    pub(crate) async fn put_archive(
        &self,
        container: &ContainerName,
        directory: &'static str,
        archive: Bytes,
    ) -> Result<(), Error> {
        let options = UploadToContainerOptions {
            path: directory.to_owned(),
            ..UploadToContainerOptions::default()
        };
        let docker = self.docker_with(CallOptions {
            body: Some(archive),
            ..CallOptions::default()
        });
        let put = docker.upload_to_container(container.as_str(), Some(options), bollard::body_full(Bytes::new()));
        self.explain(Operation::UploadFile, within_time(put).await, container)
            .await
    }

    pub(crate) async fn container_state(&self, container: &ContainerName) -> Result<ContainerState, Error> {
        match self.inspect_container(container).await {
            Ok(inspected) if inspected.state.is_paused() => Ok(ContainerState::Paused),
            Ok(inspected) if inspected.state.is_running() => Ok(ContainerState::Running),
            Ok(_) => Ok(ContainerState::NotRunning),
            Err(refusal) => {
                let error = refusal.into_error(Operation::InspectContainer, self.endpoint(), Some(container));
                match error.kind() {
                    ErrorKind::ContainerNotFound => Ok(ContainerState::Gone),
                    _ => Err(error),
                }
            }
        }
    }

    async fn inspect_container(&self, container: &ContainerName) -> Result<models::ContainerInspect, ApiError> {
        self.get(&format!("/containers/{container}/json")).await
    }

    /// Like `inspect_container`, with the error that users see.
    async fn inspected(&self, container: &ContainerName) -> Result<models::ContainerInspect, Error> {
        let inspected = self.inspect_container(container).await;
        self.explain(Operation::InspectContainer, inspected, container).await
    }

    fn docker_with(&self, options: CallOptions) -> Docker {
        client::with_options(&self.docker, options)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        let answer = retried(|| self.call(Method::GET, path, Bytes::new())).await;
        from_json(&answer?)
    }

    /// Makes a call that bollard lacks or does not make correctly, and returns the whole response body.
    async fn call(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, ApiError> {
        let request = Request::builder().method(method).uri(path).header(CONTENT_TYPE, JSON);
        let response = self.transport.send(request.body(body.into()).map_err(broken)?).await?;
        if !response.status().is_success() {
            return Err(read_refusal(response).await);
        }
        read_body(response, MAX_ANSWER_SIZE).await
    }

    /// Converts the error of a call on a container, and adds what further calls find out about it.
    async fn explain<T>(
        &self,
        operation: Operation,
        result: Result<T, ApiError>,
        container: &ContainerName,
    ) -> Result<T, Error> {
        let refusal = match result {
            Ok(value) => return Ok(value),
            Err(refusal) => refusal,
        };
        let error = refusal.into_error(operation, self.endpoint(), Some(container));
        Err(match error.kind() {
            ErrorKind::ContainerNotFound => {
                let hint = self.other_containers(container).await;
                error.with_hint(&hint)
            }
            ErrorKind::ContainerNotRunning => self.with_true_cause(error, container, container).await,
            ErrorKind::EngineError if matches!(operation, Operation::CreateExec | Operation::StartExec) => {
                self.with_true_cause(error, container, container).await
            }
            _ => error,
        })
    }

    /// Returns sentences for an error: which containers have a similar name, which run, and why this engine was used.
    async fn other_containers(&self, container: &ContainerName) -> String {
        let mut sentences = Vec::new();
        if let Ok(containers) = self.containers().await {
            let near = near_names(container.as_str(), &containers);
            if !near.is_empty() {
                sentences.push(format!("Did you mean {}?", near.join(" or ")));
            }
            let mut running = containers.iter().filter(|container| container.is_running);
            let names: Vec<String> = running
                .by_ref()
                .take(MAX_NAMES)
                .map(|container| sanitize_line(&container.name, MAX_NAME_LEN))
                .collect();
            sentences.push(match (names.as_slice(), running.count()) {
                ([], _) => "No container is running".to_owned(),
                (names, 0) => format!("Running: {}", names.join(", ")),
                (names, more) => format!("Running: {} and {more} more", names.join(", ")),
            });
        }
        if self.endpoint().origin().is_beyond_docker() {
            sentences.push(format!("(The engine is {})", self.endpoint().origin()));
        }
        if let Some(far_end) = self.transport.far_end() {
            sentences.push(format!("(The remote engine was reached through {far_end})"));
        }
        sentences.join(" ")
    }

    /// Returns whether a container that does not run is about to run again.
    ///
    /// Docker reports this state. Podman reports "stopped" for it, so this method checks whether a container with a
    /// restart policy is started again.
    async fn restarts(&self, container: &ContainerName) -> bool {
        let Ok(before) = self.inspect_container(container).await else {
            return false;
        };
        if before.state.is_restarting() {
            return true;
        }
        if self.kind() == EngineKind::Docker || !before.has_restart_policy() {
            return false;
        }
        tokio::time::sleep(RESTART_TIMEOUT).await;
        let after = self.inspect_container(container).await;
        after.is_ok_and(|after| after.restart_count != before.restart_count || after.state.is_running())
    }
}
