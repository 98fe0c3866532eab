//! Where to look for an engine if none is configured.

use std::path::{Path, PathBuf};

use crate::error::Error;

use super::address::Address;
use super::environment::Environment;
use super::origin::Origin;

const SYSTEM_PODMAN: &str = "/run/podman/podman.sock";
const MACHINE: &str = "podman/podman-machine-default-api.sock";

/// A place that was checked because no engine was configured.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// The engine's address.
    pub address: Address,
    /// Why the place is checked.
    pub origin: Origin,
    /// Whether something exists there, which does not mean that it answers. The first place that exists is the
    /// endpoint; if none exists, the first place is.
    pub exists: bool,
    /// The same as in the endpoint.
    pub(super) base_path: String,
}

/// Returns all places in order of precedence: Docker's default first, then the address that the user has set for
/// Podman, then the per-user sockets of each engine, then the socket of the system's Podman.
pub(super) fn places(environment: &Environment<'_>) -> Result<Vec<Place>, Error> {
    let place = |address: Address, origin: Origin| Place {
        exists: match &address {
            Address::Unix(socket) => (environment.exists)(socket),
            _ => true,
        },
        address,
        origin,
        base_path: String::new(),
    };
    let mut places = vec![place(Address::default_place(), Origin::Default)];
    if let Some(host) = environment.text("CONTAINER_HOST")? {
        // A user who sets CONTAINER_HOST wants that engine, even if it does not exist. If Docker's own socket exists,
        // CONTAINER_HOST is not used and may be invalid.
        match Address::parse_on_this_system(&host) {
            Ok((address, base_path)) => places.push(Place {
                exists: true,
                base_path,
                ..place(address, Origin::ContainerHost)
            }),
            Err(_) if places.iter().any(|place| place.exists) => {}
            Err(error) => return Err(error.with_hint("The address is the value of CONTAINER_HOST")),
        }
    }
    if cfg!(unix) {
        for (socket, engine) in sockets(environment) {
            let place = place(Address::Unix(socket), Origin::WellKnown(engine));
            if !places.iter().any(|other| other.address == place.address) {
                places.push(place);
            }
        }
    }
    Ok(places)
}

fn sockets(environment: &Environment<'_>) -> Vec<(PathBuf, &'static str)> {
    let below = |directory: &Option<PathBuf>, path: &str| directory.as_deref().map(|above: &Path| above.join(path));
    let (runtime, home) = (environment.runtime_dir(), environment.home.clone());
    let config = environment.path("XDG_CONFIG_HOME").or_else(|| below(&home, ".config"));
    let colima = environment.path("COLIMA_HOME");
    let lima = environment.path("LIMA_HOME").or_else(|| below(&home, ".lima"));
    let data = environment
        .path("XDG_DATA_HOME")
        .or_else(|| below(&home, ".local/share"));
    let machine = below(&data, "containers/podman/machine");
    let first = [
        (below(&runtime, "docker.sock"), "Docker's rootless socket"),
        (below(&home, ".docker/desktop/docker.sock"), "Docker Desktop's socket"),
        (below(&home, ".docker/run/docker.sock"), "Docker Desktop's socket"),
        (below(&colima, "default/docker.sock"), "Colima's socket"),
        (below(&home, ".colima/default/docker.sock"), "Colima's socket"),
        (below(&config, "colima/default/docker.sock"), "Colima's socket"),
        (below(&home, ".rd/docker.sock"), "Rancher Desktop's socket"),
        (below(&home, ".orbstack/run/docker.sock"), "OrbStack's socket"),
    ];
    let instances = lima.map(|lima| (environment.entries)(&lima)).unwrap_or_default();
    // Lima's own directories begin with `_`, which is not allowed in instance names.
    let is_instance = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        !name.starts_with(['_', '.'])
    };
    let of_lima = instances
        .into_iter()
        .filter(is_instance)
        .map(|instance| (Some(instance.join("sock/docker.sock")), "Lima's socket"));
    let last = [
        (below(&runtime, "podman/podman.sock"), "Podman's rootless socket"),
        // Used on Linux, and on macOS since Podman 5. Earlier releases use the others.
        (below(&runtime, MACHINE), "podman machine's socket"),
        (below(&environment.path("TMPDIR"), MACHINE), "podman machine's socket"),
        (below(&machine, "podman.sock"), "podman machine's socket"),
        (below(&machine, "qemu/podman.sock"), "podman machine's socket"),
        (
            below(&machine, "podman-machine-default/podman.sock"),
            "podman machine's socket",
        ),
        (Some(PathBuf::from(SYSTEM_PODMAN)), "Podman's system socket"),
    ];
    first
        .into_iter()
        .chain(of_lima)
        .chain(last)
        .filter_map(|(socket, engine)| Some((socket?, engine)))
        .collect()
}
