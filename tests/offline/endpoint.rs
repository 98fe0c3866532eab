//! How dexec finds the engine, and how it connects to it.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::dexec;
use crate::fake::{self, Fake, Script};
use test_support::{Done, Run, docker_clis, program};

/// A Docker configuration directory.
struct Config(TempDir);

impl Config {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory can be made"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, path: &str, contents: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().expect("it has a parent")).expect("it can be made");
        fs::write(path, contents).expect("it can be written");
    }

    /// Writes a context called `test`, as docker does.
    fn store(&self, endpoint: &Value) {
        let meta = json!({"Name": "test", "Metadata": {"Description": "x"}, "Endpoints": {"docker": endpoint}});
        self.write(&format!("contexts/meta/{TEST}/meta.json"), &meta.to_string());
    }

    fn dexec(&self, args: &[&str]) -> Run {
        dexec(args).env("DOCKER_CONFIG", self.path())
    }
}

/// The SHA-256 of `test`.
const TEST: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn message(response: &Value) -> &str {
    response["message"].as_str().expect("there is a message")
}

/// An engine on which every command prints `x`, for any number of commands.
fn engine() -> Fake {
    let created = format!("{{\"Id\":\"{}\"}}", fake::EXEC_ID);
    Fake::start(Script {
        own_create: fake::json("201 Created", &created).into(),
        ..Script::default()
    })
}

#[track_caller]
fn assert_ran(run: Run) {
    let response = run.response();
    assert_eq!(
        (&response["exitCode"], &response["stdout"]),
        (&0.into(), &"x".into()),
        "{response}"
    );
}

#[test]
fn contexts_select_the_engine() {
    let (fake, config) = (engine(), Config::new());
    config.store(&json!({"Host": fake.host, "SkipTLSVerify": false}));
    let unset = "unix:///nonexistent/other";
    assert_ran(
        config
            .dexec(&["--context", "test", "web", "true"])
            .env("DOCKER_HOST", unset),
    );
    assert_ran(config.dexec(&["-ctest", "web", "true"]).env("DOCKER_CONTEXT", "other"));
    assert_ran(
        config
            .dexec(&["web", "true"])
            .env("DOCKER_HOST", "")
            .env("DOCKER_CONTEXT", "test"),
    );
    config.write("config.json", "{\"currentContext\": \"test\"}");
    assert_ran(config.dexec(&["web", "true"]).env("DOCKER_HOST", ""));
    let path = config.path().to_str().expect("it is UTF-8");
    assert_ran(dexec(["--config", path, "web", "true"]).env("DOCKER_HOST", ""));

    let response = config.dexec(&["web", "true"]).env("DOCKER_HOST", unset).response();
    assert!(message(&response).contains(unset), "{response}");
    let response = config.dexec(&["-c", "nope", "web", "true"]).response();
    assert_eq!(
        (&response["exitCode"], &response["errorKind"]),
        (&1.into(), &"invalidRequest".into())
    );
    assert!(message(&response).contains("no context `nope`") && message(&response).contains("default, test. "));
    assert!(message(&response).ends_with("with -H"), "{response}");
}

#[test]
fn error_names_the_origin_of_the_endpoint() {
    let config = Config::new();
    config.store(&json!({"Host": "unix:///nonexistent/socket"}));
    let response = config.dexec(&["-c", "test", "web", "true"]).response();
    assert_eq!(response["errorKind"], "engineUnreachable");
    assert!(
        message(&response).contains("docker's context `test`, as given"),
        "{response}"
    );
}

#[test]
fn conflicting_options_are_refused_as_docker_refuses_them() {
    for (line, words, of_docker) in [
        (
            &["-H", "tcp://a", "-c", "b", "web", "true"][..],
            "both the engine's address and a context are given. Use either -H or -c, not both",
            "conflicting options: cannot specify both --host and --context",
        ),
        (
            &["-H", "tcp://a", "-H", "tcp://b", "web", "true"],
            "specify only one -H",
            "specify only one -H",
        ),
    ] {
        let response = dexec(line).response();
        assert_eq!(response["exitCode"], 1);
        assert_eq!(message(&response), words);
        let raw = dexec(["--raw"]).args(line).run();
        assert_eq!((raw.code, raw.stderr_text()), (1, format!("{of_docker}\n")));
    }
}

#[test]
fn every_request_has_the_headers_and_the_version() {
    let (fake, config) = (engine(), Config::new());
    config.write(
        "config.json",
        "{\"HttpHeaders\": {\"X-From\": \"file\", \"User-Agent\": \"x\", \"Host\": \"y\"}}",
    );
    let run = config.dexec(&["-H", &fake.host, "web", "true"]);
    assert_ran(run.env("DOCKER_API_VERSION", "v1.40"));
    let heads = fake.heads();
    assert_eq!(heads.len(), 3, "{heads:?}");
    for head in heads {
        assert!(
            head[0]
                .split(' ')
                .nth(1)
                .is_some_and(|path| path.starts_with(fake::VERSION)),
            "{head:?}"
        );
        let header = |name: &str| {
            let values = head[1..].iter().filter_map(|line| line.split_once(": "));
            values
                .filter(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| value)
                .collect::<Vec<_>>()
        };
        assert_eq!(header("x-from"), ["file"]);
        assert_eq!(header("host"), ["api.moby.localhost"]);
        assert_eq!(header("user-agent"), [concat!("dexec/", env!("CARGO_PKG_VERSION"))]);
    }

    let fake = Fake::start(Script::default());
    let run = config.dexec(&["-H", &fake.host, "web", "true"]);
    assert_ran(run.env("DOCKER_CUSTOM_HEADERS", "\"X-Other=a,b\",Content-Type=x"));
    for head in fake.heads() {
        let head = head.join("\n").to_lowercase();
        assert!(head.contains("x-other: a,b") && !head.contains("x-from"), "{head}");
        assert!(head.contains("content-type: application/json"), "{head}");
    }
}

#[test]
fn broken_config_file_causes_the_warning_of_docker() {
    let (fake, config) = (engine(), Config::new());
    config.write("config.json", "{\"currentContext\": 5}");
    let done = config.dexec(&["-H", &fake.host, "web", "true"]).run();
    let warning = format!("WARNING: Error parsing config file ({}", config.path().display());
    assert!(done.stderr_text().starts_with(&warning), "{}", done.stderr_text());
    assert_eq!(done.stderr_text().lines().count(), 1);
    assert_eq!(done.code, 0);
    assert_eq!(
        done.stdout_text(),
        "{\"exitCode\":0,\"stdout\":\"x\",\"stderr\":\"\",\"success\":true}\n"
    );
}

/// A port on a non-loopback address of this machine that refuses every request, and the first line of each request.
fn exposed_port() -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("0.0.0.0:0").expect("it can be listened to");
    let port = listener.local_addr().expect("it has an address").port();
    let (lines, seen) = mpsc::channel();
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.expect("it can be accepted");
            let mut request = [0; 4096];
            let length = client.read(&mut request).unwrap_or_default();
            let request = String::from_utf8_lossy(&request[..length]);
            let _ = lines.send(request.lines().next().unwrap_or_default().to_owned());
            let _ = client.write_all(&fake::json("409 Conflict", "{\"message\":\"Container x is paused\"}"));
        }
    });
    (format!("tcp://0.0.0.0:{port}"), seen)
}

#[test]
fn base_path_precedes_every_request_path() {
    let (host, requests) = exposed_port();
    let host = host.replace("0.0.0.0", "127.0.0.1");
    for (version, line) in [
        ("", "POST /some/base/containers/web/exec HTTP/1.1"),
        ("1.40", "POST /some/base/v1.40/containers/web/exec HTTP/1.1"),
    ] {
        let run = dexec(["-H", &format!("{host}/some/base/"), "web", "true"]);
        let response = run.env("DOCKER_API_VERSION", version).response();
        assert_eq!(response["errorKind"], "containerPaused");
        assert_eq!(requests.recv().as_deref(), Ok(line));
    }
}

#[test]
fn plain_tcp_to_another_machine_causes_a_warning() {
    let (host, _requests) = exposed_port();
    let warned = |done: &Done| {
        done.stderr_text()
            .lines()
            .filter(|line| line.contains("is unencrypted"))
            .count()
    };
    let done = dexec(["-H", &host, "web", "true"]).run();
    assert_eq!((done.code, warned(&done)), (1, 1), "{}", done.stderr_text());
    let response: Value = serde_json::from_slice(&done.stdout).expect("a response is JSON");
    assert_eq!(response["errorKind"], "containerPaused");
    assert_eq!(warned(&dexec(["--raw", "-H", &host, "web", "true"]).run()), 1);
    let silenced = dexec(["-H", &host, "web", "true"]).env("DEXEC_ALLOW_PLAIN_TCP", "1");
    assert_eq!(silenced.response()["errorKind"], "containerPaused");
    // Nobody can listen in on a loopback connection.
    let here = host.replace("0.0.0.0", "127.0.0.1");
    assert_eq!(
        dexec(["-H", &here, "web", "true"]).response()["errorKind"],
        "containerPaused"
    );
}

#[test]
fn missing_tls_files_do_not_disable_tls() {
    let (host, _requests) = exposed_port();
    for args in [
        &["--tls"][..],
        &["--tlsverify"],
        &["--tlsverify=false"],
        &["--tls", "--tlscacert", "/nonexistent/ca"],
    ] {
        let response = dexec(["-H", &host]).args(args).args(["web", "true"]).response();
        assert_eq!(
            (&response["exitCode"], &response["errorKind"]),
            (&1.into(), &"tls".into()),
            "{response}"
        );
    }
    for variable in ["DOCKER_TLS", "DOCKER_TLS_VERIFY"] {
        let response = dexec(["-H", &host, "web", "true"]).env(variable, "0").response();
        assert_eq!(response["errorKind"], "tls", "{response}");
        assert!(message(&response).contains("/nonexistent/docker/ca.pem"), "{response}");
    }
}

#[test]
fn connect_timeout_limits_the_wait() {
    // A full queue neither accepts a connection nor refuses it.
    let directory = tempfile::tempdir().expect("a directory can be made");
    let path = directory.path().join("socket");
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).expect("it can be made");
    let address = socket2::SockAddr::unix(&path).expect("it is an address");
    socket
        .bind(&address)
        .and_then(|()| socket.listen(0))
        .expect("it can be listened to");
    let _first = std::os::unix::net::UnixStream::connect(&path).expect("one fits");
    let host = format!("unix://{}", path.display());
    let response = dexec(["-H", &host, "--connect-timeout", "300ms", "web", "true"]).response();
    assert_eq!(response["errorKind"], "engineUnreachable");
    assert!(
        message(&response).contains("no connection was made within 0.3 s"),
        "{response}"
    );
}

#[test]
fn missing_sockets_are_skipped() {
    let home = Config::new();
    fs::create_dir(home.path().join(".rd")).expect("it can be made");
    let fake = Fake::start(Script::default());
    let socket = fake.host.strip_prefix("unix://").expect("it is a unix socket");
    std::os::unix::fs::symlink(socket, home.path().join(".rd/docker.sock")).expect("it can be made");
    let at_home = |args: &[&str]| {
        let run = dexec(args).env("HOME", home.path()).env("DOCKER_HOST", "");
        run.env("XDG_RUNTIME_DIR", "/nonexistent/runtime").without_engines()
    };
    assert_ran(at_home(&["web", "true"]));
    let failing = Fake::start(Script {
        create: fake::json("404 Not Found", "{\"message\":\"No such container: web\"}").into(),
        ..Script::default()
    });
    let response = at_home(&["web", "true"])
        .env("CONTAINER_HOST", &failing.host)
        .response();
    assert_eq!(response["errorKind"], "containerNotFound");
    let words = "(The engine is from CONTAINER_HOST, because /var/run/docker.sock does not exist)";
    assert!(message(&response).ends_with(words), "{response}");
}

#[test]
fn contexts_created_by_docker_select_the_engine() {
    // On machines without a docker CLI, the other tests write the files that it would write.
    for docker in docker_clis() {
        assert_same_contexts(&docker);
    }
}

fn assert_same_contexts(docker: &Path) {
    let (fake, config) = (engine(), Config::new());
    let docker = |args: &[&str]| {
        let run = program(docker)
            .env("DOCKER_CONFIG", config.path())
            .env("DOCKER_HOST", "");
        let done = run.env("DOCKER_CONTEXT", "").args(args).run();
        assert_eq!(done.code, 0, "{args:?}: {}", done.stderr_text());
    };
    docker(&[
        "context",
        "create",
        "of-docker",
        "--docker",
        &format!("host={}", fake.host),
    ]);
    docker(&["context", "use", "of-docker"]);
    assert_ran(config.dexec(&["web", "true"]).env("DOCKER_HOST", ""));
    assert_ran(config.dexec(&["--context=of-docker", "web", "true"]));

    // With TLS files, which docker copies into its context store.
    config.write("authority", AUTHORITY);
    let authority = config.path().join("authority");
    let host = format!("host=tcp://127.0.0.1:1,ca={}", authority.display());
    docker(&["context", "create", "with-ca", "--docker", &host]);
    docker(&[
        "context",
        "create",
        "unverified",
        "--docker",
        "host=tcp://127.0.0.1:1,skip-tls-verify=true",
    ]);
    docker(&["context", "create", "plain", "--docker", "host=tcp://127.0.0.1:1"]);
    for (context, transport) in [("with-ca", "TLS"), ("unverified", "TLS"), ("plain", "tcp, unencrypted")] {
        let done = config.dexec(&["--info", "--output", "json", "-c", context]).run();
        let told: Value = serde_json::from_slice(&done.stdout).expect("it is JSON");
        assert_eq!(told["transport"], transport, "{told}");
    }
}

/// For each way to specify the engine, docker and dexec connect to the same one.
#[test]
fn docker_and_dexec_choose_the_same_engine() {
    let clis = docker_clis();
    if clis.is_empty() {
        eprintln!("skipped: this machine has no docker CLI to compare with");
        return;
    }
    let fakes: Vec<Fake> = (0..5).map(|_| engine()).collect();
    let config = Config::new();
    let id = |name: &str| match name {
        "test" => TEST,
        "two" => "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3",
        _ => "8b5b9db0c13db24256c829aa364aa90c6d2eba318b9232a4ab9313b954d3555f",
    };
    let store = |name: &str, fake: &Fake| {
        let meta = json!({"Name": name, "Endpoints": {"docker": {"Host": fake.host}}});
        config.write(&format!("contexts/meta/{}/meta.json", id(name)), &meta.to_string());
    };
    store("test", &fakes[1]);
    store("two", &fakes[3]);
    store("three", &fakes[4]);
    for choice in 1_u8..32 {
        let is_chosen = |place: usize| choice >> place & 1 == 1;
        config.write(
            "config.json",
            if is_chosen(4) {
                "{\"currentContext\": \"three\"}"
            } else {
                "{}"
            },
        );
        let reached = |cli: &OsStr, command: &[&str]| {
            let before: Vec<usize> = fakes.iter().map(Fake::connections).collect();
            let mut run = program("env").env("DOCKER_CONFIG", config.path());
            // Docker 20.10 treats an empty DOCKER_HOST as set, so unused variables are removed.
            for (place, name, value) in [(2, "DOCKER_HOST", fakes[2].host.as_str()), (3, "DOCKER_CONTEXT", "two")] {
                run = if is_chosen(place) {
                    run.env(name, value)
                } else {
                    run.args(["-u", name])
                };
            }
            run = run.args([cli]);
            if is_chosen(0) {
                run = run.args(["-H", &fakes[0].host]);
            }
            if is_chosen(1) {
                run = run.args(["-c", "test"]);
            }
            // The exit code does not matter: the fake engine does not implement enough for docker.
            run.args(command).args(["web", "true"]).run();
            (0..5)
                .filter(|&place| fakes[place].connections() > before[place])
                .collect::<Vec<_>>()
        };
        let ours = reached(env!("CARGO_BIN_EXE_dexec").as_ref(), &["--raw"]);
        for cli in &clis {
            assert_eq!(ours, reached(cli.as_ref(), &["exec"]), "{choice:05b} {}", cli.display());
        }
        assert_eq!(ours.len(), usize::from(!(is_chosen(0) && is_chosen(1))), "{choice:05b}");
    }
}

/// A certificate that nothing trusts. docker rejects a file without a certificate.
const AUTHORITY: &str = "\
-----BEGIN CERTIFICATE-----
MIIBdTCCARugAwIBAgIUERtkM7H6vBsnruJaFvO/QDuYPbcwCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjYwMDQ2MzlaGA8yMTI2MTEwMjAwNDYz
OVowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABH1j
2wT4O+3hrr6PKQqC+JnhHjNLp0a44ikmJSB5mCHw6ciOc8560DOTvfJH7uAvbKdK
VuD8bYuMhP5MpdLttJ2jUzBRMB0GA1UdDgQWBBR713guBCpMtsVeKOuuvxLuRWvd
/jAfBgNVHSMEGDAWgBR713guBCpMtsVeKOuuvxLuRWvd/jAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0gAMEUCICBAxP7g/nCI9Rh2QhG/sNvo7yGwOlbOlylj
llRz4UCFAiEAm/ACj9aNM9VMz++6BG29W+n/Iy+FqJekhGbAohOQlwI=
-----END CERTIFICATE-----
";

#[test]
fn path_that_is_not_a_socket_is_reported() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("docker.sock")).expect("it can be made");
    fs::write(at("file"), "").expect("it can be written");
    for (path, words) in [
        (at("docker.sock"), "it is a directory, not a socket"),
        (at("file"), "it is a file, not a socket"),
        (at(&"x".repeat(120)), "which is too long for a socket"),
        (at("file/"), "does not end with a slash"),
        (at("file/socket"), "is not a directory"),
    ] {
        let response = dexec(["-H", &format!("unix://{}", path.display()), "web", "true"]).response();
        assert!(message(&response).contains(words), "{response}");
    }
}

#[test]
fn missing_abstract_socket_is_reported() {
    for (name, words) in [
        ("dexec-test-nobody".to_owned(), "no abstract socket has this name"),
        ("x".repeat(108), "the name has 108 bytes"),
    ] {
        let response = dexec(["-H", &format!("unix://@{name}"), "web", "true"]).response();
        assert_eq!(response["errorKind"], "engineUnreachable", "{response}");
        assert!(message(&response).contains(words), "{response}");
    }
}

#[test]
fn ipv6_zone_is_used_and_omitted_from_the_host_header() {
    let listener = match TcpListener::bind("[::1]:0") {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("skipped: this machine has no IPv6 ({error})");
            return;
        }
    };
    let port = listener.local_addr().expect("it has an address").port();
    let answering = thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("it can be accepted");
        let mut head = [0; 4096];
        let length = client.read(&mut head).expect("it can be read");
        let refusal = fake::json("404 Not Found", "{\"message\":\"No such container: web\"}");
        client.write_all(&refusal).expect("it can be written");
        String::from_utf8_lossy(&head[..length]).to_lowercase()
    });
    // The loopback interface has the index 1.
    let response = dexec(["-H", &format!("tcp://[::1%251]:{port}"), "web", "true"]).response();
    assert_eq!(response["errorKind"], "containerNotFound", "{response}");
    let head = answering.join().expect("it does not panic");
    assert!(head.contains(&format!("\r\nhost: [::1]:{port}\r\n")), "{head}");
}

#[test]
fn invalid_ipv6_zone_is_reported() {
    for (host, words) in [
        ("[fe80::1%25nowhere]", "no network interface `nowhere`"),
        ("[::1%25lo]", "only a link-local address"),
        ("[fe80::1]", "needs its network interface: write it as [fe80::1%25eth0]"),
    ] {
        let run = dexec(["-H", &format!("tcp://{host}:1"), "web", "true"]);
        let response = run.env("DEXEC_ALLOW_PLAIN_TCP", "1").response();
        assert_eq!(response["errorKind"], "engineUnreachable", "{response}");
        assert!(message(&response).contains(words), "{response}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn abstract_socket_is_connected() {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixListener};

    let name = format!("dexec-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("it is a name");
    let listener = UnixListener::bind_addr(&address).expect("it can be listened to");
    let answering = thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("it can be accepted");
        let mut head = [0; 5];
        client.read_exact(&mut head).expect("it can be read");
        let refusal = fake::json("404 Not Found", "{\"message\":\"No such container: web\"}");
        client.write_all(&refusal).expect("it can be written");
        head
    });
    let response = dexec(["-H", &format!("unix://@{name}"), "web", "true"]).response();
    assert_eq!(response["errorKind"], "containerNotFound", "{response}");
    assert_eq!(&answering.join().expect("it does not panic"), b"POST ");
}
