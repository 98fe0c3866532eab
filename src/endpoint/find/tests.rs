#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use crate::error::ErrorKind;

use super::*;

mod context;
mod tls;

/// The home directory, variables and sockets of one test case.
struct World {
    home: tempfile::TempDir,
    variables: Vec<(&'static str, OsString)>,
    sockets: Vec<String>,
    options: EndpointOptions,
}

impl World {
    fn new() -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
            variables: Vec::new(),
            sockets: Vec::new(),
            options: EndpointOptions::default(),
        }
    }

    fn set(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    fn socket(mut self, path: &str) -> Self {
        self.sockets
            .push(path.replace("HOME", self.home.path().to_str().unwrap()));
        self
    }

    fn host(mut self, host: &str) -> Self {
        self.options.host = Some(host.to_owned());
        self
    }

    fn context(mut self, name: &str) -> Self {
        self.options.context = Some(name.to_owned());
        self
    }

    fn file(self, path: &str, contents: &str) -> Self {
        let path = self.home.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
        self
    }

    fn config(self, contents: &str) -> Self {
        self.file(".docker/config.json", contents)
    }

    /// Adds a context with this name and endpoint.
    fn stored(self, name: &str, endpoint: &str) -> Self {
        let path = format!(".docker/contexts/meta/{}/meta.json", directory(name));
        let meta = format!("{{\"Name\":\"{name}\",\"Metadata\":{{}},\"Endpoints\":{{\"docker\":{endpoint}}}}}");
        self.file(&path, &meta)
    }

    fn find(&self) -> Result<Endpoint, Error> {
        let environment = Environment {
            variable: &|name| {
                let found = self.variables.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| value.clone())
            },
            home: Some(self.home.path().to_owned()),
            user: Some(4242),
            entries: &|directory| {
                let below = self
                    .sockets
                    .iter()
                    .filter_map(|socket| Path::new(socket).strip_prefix(directory).ok());
                below
                    .filter_map(|path| Some(directory.join(path.iter().next()?)))
                    .collect()
            },
            exists: &|path| self.sockets.iter().any(|socket| Path::new(socket) == path),
        };
        find(&self.options, &environment)
    }

    /// Returns the address that is found, and why.
    fn found(&self) -> (String, Origin) {
        let endpoint = self.find().unwrap();
        let address = endpoint.address().to_string();
        let home = self.home.path().to_str().unwrap();
        (address.replace(home, "HOME"), endpoint.origin().clone())
    }

    #[track_caller]
    fn refused(&self, kind: ErrorKind, words: &str) -> Error {
        let error = self.find().unwrap_err();
        let message = error.to_string();
        assert!(error.kind() == kind && message.contains(words), "{message}");
        assert!(message.lines().count() <= 2, "{message}");
        error
    }
}

fn others(endpoint: &Endpoint) -> Vec<String> {
    match endpoint.other_engines() {
        Some(Remedy::OtherEngines(addresses)) => addresses,
        _ => Vec::new(),
    }
}

/// The SHA-256 of a context's name, computed with another program.
fn directory(name: &str) -> &'static str {
    match name {
        "one" => "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed",
        "two" => "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3",
        _ => "37a8eec1ce19687d132fe29051dca629d164e2c4958ba141d5f4133a33f0688f",
    }
}

fn context(name: &str, chosen: &'static str) -> Origin {
    Origin::Context {
        name: name.to_owned(),
        chosen,
    }
}

const DOCKER: &str = "/var/run/docker.sock";

/// Each setting takes precedence over all that follow it.
#[test]
fn endpoint_settings_have_a_fixed_precedence() {
    type Say = fn(World) -> World;
    let sayings: [(Say, &str, Origin); 6] = [
        (|world| world.host("tcp://flag:1"), "tcp://flag:1", Origin::Given),
        (
            |world| world.set("DOCKER_HOST", "tcp://variable:2"),
            "tcp://variable:2",
            Origin::DockerHost,
        ),
        (
            |world| world.set("DOCKER_CONTEXT", "one"),
            "tcp://one:3",
            context("one", "from DOCKER_CONTEXT"),
        ),
        (
            |world| world.config("{\"currentContext\":\"two\"}"),
            "tcp://two:4",
            context("two", "from config.json"),
        ),
        (
            |world| world.socket(DOCKER),
            "unix:///var/run/docker.sock",
            Origin::Default,
        ),
        (
            |world| world.set("CONTAINER_HOST", "tcp://podman:5"),
            "tcp://podman:5",
            Origin::ContainerHost,
        ),
    ];
    let world = || {
        World::new()
            .stored("one", "{\"Host\":\"tcp://one:3\"}")
            .stored("two", "{\"Host\":\"tcp://two:4\"}")
    };
    for (first, (say, address, origin)) in sayings.iter().enumerate() {
        let expected = ((*address).to_owned(), origin.clone());
        assert_eq!(say(world()).found(), expected);
        for (say_more, ..) in &sayings[first + 1..] {
            assert_eq!(say_more(say(world())).found(), expected);
        }
    }
    // A context option takes precedence over all settings except a host, with which it can't be combined.
    let expected = ("tcp://two:4".to_owned(), context("two", "as given"));
    for (say, ..) in &sayings[1..] {
        assert_eq!(say(world()).context("two").found(), expected);
    }
    world()
        .host("tcp://flag:1")
        .context("two")
        .refused(ErrorKind::InvalidRequest, "both the engine's address and a context");
}

#[test]
fn default_context_uses_the_default_socket() {
    let world = || {
        World::new()
            .stored("default", "{\"Host\":\"tcp://stored:1\"}")
            .socket(DOCKER)
    };
    let default = (format!("unix://{DOCKER}"), Origin::Default);
    assert_eq!(world().context("default").found(), default);
    assert_eq!(world().context("").found(), default);
    assert_eq!(world().set("DOCKER_CONTEXT", "default").found(), default);
    assert_eq!(world().config("{\"currentContext\":\"default\"}").found(), default);
    // It overrides a context chosen elsewhere.
    let world = world().config("{\"currentContext\":\"one\"}").context("default");
    assert_eq!(world.found(), default);
    let world = world.set("DOCKER_HOST", "tcp://variable:2");
    assert_eq!(world.found(), ("tcp://variable:2".to_owned(), Origin::DockerHost));
}

#[test]
fn empty_variables_are_unset_and_an_empty_host_is_the_default() {
    let world = World::new()
        .set("DOCKER_HOST", "")
        .set("DOCKER_CONTEXT", "")
        .set("CONTAINER_HOST", "")
        .set("DOCKER_CONFIG", "")
        .set("DOCKER_TLS_VERIFY", "")
        .set("DOCKER_API_VERSION", "")
        .set("DOCKER_CUSTOM_HEADERS", "")
        .socket("/run/podman/podman.sock");
    assert_eq!(world.found().0, "unix:///run/podman/podman.sock");
    let world = world.host("").set("DOCKER_HOST", "tcp://variable:2");
    assert_eq!(world.found(), (format!("unix://{DOCKER}"), Origin::Given));
}

#[test]
fn config_directory_can_be_set() {
    let world = World::new().config("{\"currentContext\":\"one\"}");
    let elsewhere = world.home.path().join("elsewhere");
    let world = world
        .file("elsewhere/config.json", "{}")
        .set("DOCKER_CONFIG", &elsewhere);
    assert_eq!(world.found().1, Origin::Default);
    let mut world = world.set("DOCKER_CONFIG", "/nowhere");
    world.options.config_dir = Some(elsewhere);
    assert_eq!(world.found().1, Origin::Default);
    world.options.config_dir = Some(world.home.path().join(".docker"));
    world.refused(ErrorKind::InvalidRequest, "no context `one` (from config.json)");
}

#[test]
fn next_socket_is_used_only_if_earlier_ones_do_not_exist() {
    let sockets = [
        (DOCKER, ""),
        ("/run/user/7/docker.sock", "Docker's rootless socket"),
        ("HOME/.docker/desktop/docker.sock", "Docker Desktop's socket"),
        ("HOME/.docker/run/docker.sock", "Docker Desktop's socket"),
        ("HOME/.colima/default/docker.sock", "Colima's socket"),
        ("HOME/.config/colima/default/docker.sock", "Colima's socket"),
        ("HOME/.rd/docker.sock", "Rancher Desktop's socket"),
        ("HOME/.orbstack/run/docker.sock", "OrbStack's socket"),
        ("/run/user/7/podman/podman.sock", "Podman's rootless socket"),
        (
            "/run/user/7/podman/podman-machine-default-api.sock",
            "podman machine's socket",
        ),
        (
            "HOME/.local/share/containers/podman/machine/podman.sock",
            "podman machine's socket",
        ),
        (
            "HOME/.local/share/containers/podman/machine/qemu/podman.sock",
            "podman machine's socket",
        ),
        (
            "HOME/.local/share/containers/podman/machine/podman-machine-default/podman.sock",
            "podman machine's socket",
        ),
        ("/run/podman/podman.sock", "Podman's system socket"),
    ];
    for (first, (socket, engine)) in sockets.iter().enumerate() {
        let mut world = World::new().set("XDG_RUNTIME_DIR", "/run/user/7");
        for (socket, _) in &sockets[first..] {
            world = world.socket(socket);
        }
        let origin = if first == 0 {
            Origin::Default
        } else {
            Origin::WellKnown(engine)
        };
        assert_eq!(world.found(), (format!("unix://{socket}"), origin));
        let endpoint = world.find().unwrap();
        assert_eq!(endpoint.places().len(), sockets.len());
        assert_eq!(others(&endpoint).len(), sockets.len() - 1 - first);
    }
    // If none exists, the default is used.
    assert_eq!(World::new().found(), (format!("unix://{DOCKER}"), Origin::Default));
    assert_eq!(World::new().find().unwrap().other_engines(), None);
}

#[test]
fn container_host_is_used_if_the_docker_socket_does_not_exist() {
    let podman = "unix:///run/user/7/podman/podman.sock";
    let world = World::new()
        .set("XDG_RUNTIME_DIR", "/run/user/7")
        .set("CONTAINER_HOST", podman)
        .socket("/run/user/7/docker.sock");
    // It is used even though the socket does not exist: a user who sets the variable wants that engine.
    assert_eq!(world.found(), (podman.to_owned(), Origin::ContainerHost));
    let world = world.socket(DOCKER);
    let endpoint = world.find().unwrap();
    assert_eq!(endpoint.origin(), &Origin::Default);
    assert_eq!(others(&endpoint), [podman, "unix:///run/user/7/docker.sock"]);
    let broken = World::new().set("CONTAINER_HOST", "foo://x");
    broken.refused(ErrorKind::InvalidRequest, "the value of CONTAINER_HOST");
    assert_eq!(broken.socket(DOCKER).found().1, Origin::Default);
}

#[test]
fn headers_of_the_variable_replace_those_of_the_file() {
    let world = World::new().config("{\"HttpHeaders\":{\"X-A\":\"file\",\"User-Agent\":\"x\"}}");
    let pair = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    assert_eq!(world.find().unwrap().headers(), pair("X-A", "file"));
    let world = world.set("DOCKER_CUSTOM_HEADERS", "X-B=variable");
    assert_eq!(world.find().unwrap().headers(), pair("X-B", "variable"));
    let broken = World::new().config("{\"HttpHeaders\":{\"X A\":\"hunter2\"}}");
    let error = broken.refused(ErrorKind::InvalidRequest, "docker's config.json");
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[test]
fn api_version_is_validated() {
    let version = |text: &str| {
        let endpoint = World::new().set("DOCKER_API_VERSION", text).find()?;
        Ok::<_, Error>(endpoint.api_version().map(str::to_owned))
    };
    for text in ["1.41", "v1.41"] {
        assert_eq!(version(text).unwrap().as_deref(), Some("1.41"));
    }
    for text in [
        "abc",
        "1",
        "1.",
        "1.x",
        "vv1.41",
        "1.41/../x",
        "1.41?",
        "1.41 ",
        "1.41.2",
        "99999.1",
    ] {
        let message = version(text).unwrap_err().to_string();
        assert!(message.contains("is not a version"), "{message}");
    }
}

#[test]
fn broken_config_file_causes_a_warning() {
    let broken = World::new().config("{\"currentContext\":").socket(DOCKER);
    let endpoint = broken.find().unwrap();
    let warning = endpoint.warnings().first().unwrap();
    assert!(warning.starts_with("Error parsing config file ("), "{warning}");
    assert_eq!(endpoint.origin(), &Origin::Default);
    let directory = World::new().file(".docker/config.json/x", "");
    let endpoint = directory.find().unwrap();
    assert!(endpoint.warnings()[0].starts_with("Error loading config file: open "));
    assert!(World::new().find().unwrap().warnings().is_empty());
}

#[test]
fn plain_tcp_is_exposed_unless_the_host_is_local() {
    for (host, is_exposed) in [
        ("tcp://box", true),
        ("tcp://10.0.0.1", true),
        ("tcp://[fe80::1]", true),
        ("tcp://localhost", false),
        ("tcp://LOCALHOST", false),
        ("tcp://127.9.9.9", false),
        ("tcp://[::1]", false),
        ("tcp://[::1%251]", false),
        ("tcp://[fe80::1%25eth0]", true),
        ("tcp://[::ffff:127.0.0.1]", false),
        ("ssh://box", false),
        ("unix:///x", false),
    ] {
        assert_eq!(
            Endpoint::parse(host).unwrap().is_plaintext_remote(),
            is_exposed,
            "{host}"
        );
    }
}

#[test]
fn options_alone_ignore_the_environment() {
    let mut options = EndpointOptions {
        context: Some("one".to_owned()),
        ..EndpointOptions::default()
    };
    let message = find(&options, &Environment::EMPTY).unwrap_err().to_string();
    assert!(message.contains("without HOME or DOCKER_CONFIG"), "{message}");
    let world = World::new().stored("one", "{\"Host\":\"ssh://box\"}");
    options.config_dir = Some(world.home.path().join(".docker"));
    let endpoint = find(&options, &Environment::EMPTY).unwrap();
    assert_eq!(endpoint.address().to_string(), "ssh://box");

    let options = EndpointOptions {
        host: Some("tcp://box".to_owned()),
        tls_verify: Some(true),
        ..EndpointOptions::default()
    };
    let tls = find(&options, &Environment::EMPTY).unwrap().tls.unwrap();
    assert!(tls.verify && tls.ca.is_none());
}

#[cfg(unix)]
#[test]
fn every_well_known_socket_is_checked() {
    for (variable, socket, engine) in [
        (
            Some(("COLIMA_HOME", "/colima")),
            "/colima/default/docker.sock",
            "Colima's socket",
        ),
        (None, "HOME/.config/colima/default/docker.sock", "Colima's socket"),
        (
            Some(("XDG_CONFIG_HOME", "/config")),
            "/config/colima/default/docker.sock",
            "Colima's socket",
        ),
        (None, "HOME/.lima/docker/sock/docker.sock", "Lima's socket"),
        (
            Some(("LIMA_HOME", "/lima")),
            "/lima/docker/sock/docker.sock",
            "Lima's socket",
        ),
        (None, "/run/user/4242/docker.sock", "Docker's rootless socket"),
        (None, "/run/user/4242/podman/podman.sock", "Podman's rootless socket"),
        (
            None,
            "HOME/.local/share/containers/podman/machine/podman.sock",
            "podman machine's socket",
        ),
        (
            Some(("XDG_DATA_HOME", "/data")),
            "/data/containers/podman/machine/qemu/podman.sock",
            "podman machine's socket",
        ),
        (
            Some(("TMPDIR", "/tmp/own")),
            "/tmp/own/podman/podman-machine-default-api.sock",
            "podman machine's socket",
        ),
    ] {
        let mut world = World::new().socket(socket);
        if let Some((name, value)) = variable {
            world = world.set(name, value);
        }
        assert_eq!(world.found(), (format!("unix://{socket}"), Origin::WellKnown(engine)));
    }
    // The session's setting takes precedence over the usual directory.
    let world = World::new()
        .set("XDG_RUNTIME_DIR", "/runtime")
        .socket("/run/user/4242/docker.sock");
    assert_eq!(world.found().1, Origin::Default);
}

#[cfg(unix)]
#[test]
fn lima_instances_are_checked_in_order() {
    let world = World::new()
        .set("LIMA_HOME", "/lima")
        .socket("/lima/_config/sock/docker.sock")
        .socket("/lima/a/sock/docker.sock")
        .socket("/lima/b/sock/docker.sock");
    assert_eq!(world.found().0, "unix:///lima/a/sock/docker.sock");
    assert_eq!(others(&world.find().unwrap()), ["unix:///lima/b/sock/docker.sock"]);
}

#[cfg(unix)]
#[test]
fn error_names_a_variable_that_is_not_utf8() {
    use std::os::unix::ffi::OsStringExt as _;
    for name in [
        "DOCKER_HOST",
        "DOCKER_CONTEXT",
        "CONTAINER_HOST",
        "DOCKER_API_VERSION",
        "DOCKER_CUSTOM_HEADERS",
    ] {
        let world = World::new().set(name, OsString::from_vec(b"\xff".to_vec()));
        world.refused(ErrorKind::InvalidRequest, &format!("{name} is not UTF-8"));
    }
}
