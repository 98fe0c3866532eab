//! `--info`: shows the engine and how it was found, or why none responds.

use std::io::{self, Write as _};
use std::net::IpAddr;
use std::time::Duration;

use dexec::{Address, Endpoint, Engine, EngineInfo, Error, ErrorKind, Origin};
use dexec_common::endpoint_args::EndpointArgs;
use serde::Serialize;

use crate::endpoint::{options, warn};
use crate::{remedy, render, stdio};

/// Time limit for the engine's response, including an SSH login.
const ENGINE_TIMEOUT: Duration = Duration::from_secs(20);

/// Time limit for each endpoint that was not chosen.
const OTHERS_TIMEOUT: Duration = Duration::from_secs(3);

const START_DOCKER: &str = if cfg!(target_os = "linux") {
    "`sudo systemctl start docker`"
} else {
    "the application Docker Desktop, Colima, Rancher Desktop or OrbStack"
};

const START_PODMAN: &str = if cfg!(target_os = "linux") {
    "`systemctl --user enable --now podman.socket`, or as root without --user"
} else {
    "`podman machine start`"
};

/// The result. Absent fields are omitted.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    reachable: bool,
    #[serde(flatten)]
    endpoint: Option<Place>,
    #[serde(flatten)]
    engine: Option<EngineReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_kind: Option<ErrorKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// The other endpoints that were considered, with their results.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    others: Vec<CandidateReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

#[derive(Debug, Serialize)]
struct Place {
    endpoint: String,
    origin: String,
    transport: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EngineReport {
    engine: String,
    version: String,
    api_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    rootless: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    running_containers: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    far_end: Option<String>,
    round_trip_ms: f64,
}

#[derive(Debug, Serialize)]
struct CandidateReport {
    endpoint: String,
    origin: String,
    /// `None` if the endpoint was not queried.
    #[serde(skip_serializing_if = "Option::is_none")]
    said: Option<String>,
}

/// Prints the report. Returns the exit code, which is 1 if no engine responds.
pub(crate) async fn run(args: EndpointArgs, is_json: bool) -> i64 {
    let report = match options(args).and_then(|options| Endpoint::find(&options)) {
        Ok(endpoint) => {
            warn(&endpoint);
            Report::of(&endpoint).await
        }
        Err(error) => Report::failure(error),
    };
    let code = i64::from(!report.reachable);
    let written = if is_json {
        render::json(report).await
    } else {
        report.print()
    };
    render::code_after(written, code)
}

impl Report {
    async fn of(endpoint: &Endpoint) -> Self {
        let place = Place {
            endpoint: endpoint.address().to_string(),
            origin: endpoint.origin().to_string(),
            transport: transport(endpoint),
        };
        match query(endpoint).await {
            Ok(info) => Self {
                reachable: true,
                endpoint: Some(place),
                engine: Some(info.into()),
                others: other_candidates(endpoint),
                ..Self::default()
            },
            Err(error) => Self {
                endpoint: Some(place),
                others: query_other_candidates(endpoint).await,
                fix: fix(endpoint, &error),
                ..Self::failure(error)
            },
        }
    }

    fn failure(error: Error) -> Self {
        Self {
            error_kind: Some(error.kind()),
            message: Some(told(error)),
            ..Self::default()
        }
    }

    /// Prints text for people: on standard output if the engine responded, otherwise on standard error.
    fn print(&self) -> io::Result<()> {
        let mut lines = Vec::new();
        let mut line = |name: &str, value: &str| lines.push(format!("{name:<12}{value}"));
        if let Some(told) = &self.engine {
            line("engine", &format!("{} {}", told.engine, told.version));
            line("API version", &told.api_version);
        }
        if let Some(place) = &self.endpoint {
            line("endpoint", &format!("{} ({})", place.endpoint, place.origin));
            line("transport", place.transport);
        }
        if let Some(told) = &self.engine {
            if let Some(far_end) = &told.far_end {
                line("reached via", far_end);
            }
            let rootless = told
                .rootless
                .map_or("unknown (denied by policy)", |is| if is { "yes" } else { "no" });
            line("rootless", rootless);
            let running = told.running_containers.map(|running| running.to_string());
            line("running", running.as_deref().unwrap_or("unknown (denied by policy)"));
            line("round trip", &format!("{} ms", told.round_trip_ms));
        }
        for other in &self.others {
            let said = other.said.as_ref().map(|said| format!(": {said}")).unwrap_or_default();
            line("other", &format!("{} ({}){said}", other.endpoint, other.origin));
        }
        if let Some(message) = &self.message {
            line("failure", message);
        }
        if let Some(fix) = &self.fix {
            line("likely fix", fix);
        }
        let text = lines.join("\n");
        if self.reachable {
            writeln!(stdio::BlockingIo(stdio::stdout()?), "{text}")
        } else {
            render::eprint_line(&text);
            Ok(())
        }
    }
}

impl From<EngineInfo> for EngineReport {
    fn from(info: EngineInfo) -> Self {
        Self {
            engine: info.name,
            version: info.version,
            api_version: info.api_version,
            rootless: info.is_rootless,
            running_containers: info.running_containers,
            far_end: info.far_end,
            round_trip_ms: milliseconds(info.round_trip),
        }
    }
}

/// Rounded to hundredths.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 100_000.0).round() / 100.0
}

fn transport(endpoint: &Endpoint) -> &'static str {
    match endpoint.address() {
        Address::Unix(_) => "unix socket",
        Address::Tcp { .. } if endpoint.tls().is_some() => "TLS",
        Address::Tcp { .. } => "tcp, unencrypted",
        Address::Ssh { .. } => "ssh",
        _ => "named pipe",
    }
}

fn told(error: Error) -> String {
    error.reworded(remedy::words).to_string()
}

/// Returns what the engine reports about itself, or an error after [`ENGINE_TIMEOUT`].
async fn query(endpoint: &Endpoint) -> Result<EngineInfo, Error> {
    let engine = Engine::connect(endpoint);
    match tokio::time::timeout(ENGINE_TIMEOUT, engine.info()).await {
        Ok(told) => told,
        Err(_) => Err(Error::new(
            ErrorKind::EngineUnreachable,
            format!(
                "no response from {} ({}) within {} s: the engine hangs, or the server is not an engine",
                endpoint.address(),
                endpoint.origin(),
                ENGINE_TIMEOUT.as_secs()
            ),
        )),
    }
}

/// The endpoints that exist and were not chosen.
fn other_candidates(endpoint: &Endpoint) -> Vec<CandidateReport> {
    others(endpoint)
        .filter(|place| place.exists)
        .map(|place| CandidateReport::new(place, None))
        .collect()
}

/// Queries every endpoint that was not chosen.
async fn query_other_candidates(endpoint: &Endpoint) -> Vec<CandidateReport> {
    // In parallel, so that endpoints that the user did not ask for take little time.
    let asking: Vec<_> = others(endpoint)
        .map(|place| (place, tokio::spawn(ask(place.clone()))))
        .collect();
    let mut asked = Vec::new();
    for (place, said) in asking {
        // `ask` returns no error, so this fails only after a panic.
        asked.push(CandidateReport::new(place, said.await.ok()));
    }
    asked
}

async fn ask(place: dexec::Place) -> String {
    if !place.exists {
        return "the socket does not exist".to_owned();
    }
    if matches!(place.address, Address::Ssh { .. }) {
        return "not queried, because that requires a login".to_owned();
    }
    let endpoint = match Endpoint::parse(&place.address.to_string()) {
        Ok(endpoint) => endpoint,
        Err(error) => return told(error),
    };
    let engine = Engine::connect(&endpoint);
    match tokio::time::timeout(OTHERS_TIMEOUT, engine.info()).await {
        Ok(Ok(info)) => format!("{} {} responds; use it with -H", info.name, info.version),
        Ok(Err(error)) => told(error),
        Err(_) => format!("no response within {} s", OTHERS_TIMEOUT.as_secs()),
    }
}

fn others(endpoint: &Endpoint) -> impl Iterator<Item = &dexec::Place> {
    let places = endpoint.places().iter();
    places.filter(|place| place.address != *endpoint.address())
}

impl CandidateReport {
    fn new(place: &dexec::Place, said: Option<String>) -> Self {
        Self {
            endpoint: place.address.to_string(),
            origin: match &place.origin {
                // Its `Display` text says that it was chosen.
                Origin::WellKnown(engine) => (*engine).to_owned(),
                Origin::ContainerHost => "CONTAINER_HOST".to_owned(),
                origin => origin.to_string(),
            },
            said,
        }
    }
}

/// Returns the likely fix, unless the message already states it.
fn fix(endpoint: &Endpoint, error: &Error) -> Option<String> {
    match (error.kind(), endpoint.address()) {
        (ErrorKind::EngineUnreachable, Address::Unix(socket)) => {
            let is_podman = socket.to_string_lossy().contains("podman");
            Some(match endpoint.places() {
                _ if is_podman => format!("start Podman's service ({START_PODMAN})"),
                [] => format!("check the path, or start Docker ({START_DOCKER})"),
                _ => format!("start Docker ({START_DOCKER}), or Podman's service ({START_PODMAN})"),
            })
        }
        (ErrorKind::EngineUnreachable, Address::Tcp { host, port }) => {
            let name = match host.parse::<IpAddr>() {
                Ok(_) => "the address".to_owned(),
                Err(_) => format!("the name (`getent hosts {host}`)"),
            };
            Some(format!(
                "check {name}, that the engine listens on TCP (`dockerd -H tcp://…`), and that no firewall blocks \
                 port {port}"
            ))
        }
        (ErrorKind::Ssh, _) => Some("check that plain `ssh` can log in, as the same user".to_owned()),
        _ => None,
    }
}
