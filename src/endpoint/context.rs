//! docker's context store, read only.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::error::{Error, Remedy, io_reason, sanitize_line};

use super::Endpoint;
use super::file::read_regular;
use super::json::{Fault, Object};
use super::origin::Origin;
use super::tls::Tls;

/// The maximum number of contexts that an error lists.
const MAX_NAMES: usize = 10;

/// The maximum number of contexts that are read for that list.
const MAX_READ: usize = 200;

/// The maximum number of characters of a name that an error shows.
const MAX_NAME_LEN: usize = 100;

/// The maximum number of characters of a fault that an error shows.
const MAX_FAULT_LEN: usize = 400;

/// The `contexts` directory in docker's configuration directory. A context's `meta.json` and its TLS files are in two
/// directories named after the SHA-256 of the context's name (docker/cli, `cli/context/store`).
#[derive(Debug)]
pub(super) struct Store(PathBuf);

/// The parts of a context's `meta.json` that are used.
#[derive(Debug, Default)]
struct Meta {
    name: String,
    /// `None` if the context has no endpoint for the Docker API.
    docker: Option<Object>,
}

impl Store {
    pub(super) fn below(config_dir: &Path) -> Self {
        Self(config_dir.join("contexts"))
    }

    /// Reads the endpoint of the context `name`; `chosen` says where the name came from.
    pub(super) fn read(&self, name: &str, chosen: &'static str) -> Result<Endpoint, Error> {
        let id = id(name);
        let path = self.0.join("meta").join(&id).join("meta.json");
        let at_fault = |fault: &str| {
            let fault = sanitize_line(fault, MAX_FAULT_LEN);
            let shown = sanitize_line(name, MAX_NAME_LEN);
            Error::invalid(format!(
                "docker's context `{shown}` ({chosen}) can't be used: {}: {fault}. {}",
                path.display(),
                self.others()
            ))
        };
        let contents = read_regular(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => not_found(name, chosen, &path, &self.others()),
            _ => at_fault(&io_reason(&error)),
        })?;
        let meta = Meta::parse(&contents).map_err(|fault| at_fault(&fault.to_string()))?;
        let docker = meta
            .docker
            .ok_or_else(|| at_fault("it has no endpoint for the Docker API"))?;
        let field = |fault: Fault| at_fault(&fault.to_string());
        let host: String = docker.field("Host").map_err(field)?.unwrap_or_default();
        let skips_verification = docker.field("SkipTLSVerify").map_err(field)?.unwrap_or(false);
        let origin = Origin::Context {
            name: sanitize_line(name, MAX_NAME_LEN),
            chosen,
        };
        Ok(Endpoint {
            tls: Tls::from_directory(&self.0.join("tls").join(id).join("docker"), !skips_verification)?,
            ..Endpoint::at(&host, origin).map_err(|error| at_fault(error.cause()))?
        })
    }

    /// Returns a sentence that lists the existing contexts.
    fn others(&self) -> String {
        let mut names: Vec<String> = fs::read_dir(self.0.join("meta"))
            .into_iter()
            .flatten()
            .flatten()
            .take(MAX_READ)
            .filter_map(|directory| {
                let contents = read_regular(&directory.path().join("meta.json")).ok()?;
                let name = Meta::parse(&contents).ok()?.name;
                (!name.is_empty()).then(|| sanitize_line(&name, MAX_NAME_LEN))
            })
            .collect();
        names.sort();
        let more = match names.len().saturating_sub(MAX_NAMES) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        names.truncate(MAX_NAMES);
        names.insert(0, "default".to_owned());
        format!("Contexts: {}{more}", names.join(", "))
    }
}

impl Meta {
    fn parse(contents: &[u8]) -> Result<Self, Fault> {
        let object: Object = serde_json::from_str(&String::from_utf8_lossy(contents))?;
        let endpoints: Object = object.field("Endpoints")?.unwrap_or_default();
        Ok(Self {
            name: object.field("Name")?.unwrap_or_default(),
            docker: endpoints.entry("docker")?,
        })
    }
}

/// Returns the name of a context's directories.
fn id(name: &str) -> String {
    Sha256::digest(name).iter().fold(String::new(), |mut id, byte| {
        // Writing to a string can't fail.
        let _ = write!(id, "{byte:02x}");
        id
    })
}

fn not_found(name: &str, chosen: &str, path: &Path, others: &str) -> Error {
    let name = sanitize_line(name, MAX_NAME_LEN);
    Error::invalid(format!(
        "docker has no context `{name}` ({chosen}). {others}"
    ))
    .with_remedies([Remedy::ChooseContext])
    .with_docker_text(format!(
        "Failed to initialize: unable to resolve docker endpoint: context \"{name}\": context not found: open {}: no such \
         file or directory",
        path.display()
    ))
}
