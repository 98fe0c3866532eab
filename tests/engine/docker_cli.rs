//! Compares `dexec --raw` with the real `docker exec`: the same bytes on the same streams and the same exit code.
//!
//! docs/docker-compat.md lists all intended differences; no case here is one of them.

use std::path::Path;

use crate::dexec;
use test_support::api::{Container, is_podman};
use test_support::{Done, docker_clis, noise, program};

struct Case {
    args: Vec<String>,
    stdin: Option<Vec<u8>>,
}

fn case(line: &[&str]) -> Case {
    Case {
        args: line.iter().map(|&word| word.to_owned()).collect(),
        stdin: None,
    }
}

fn shell(options: &[&str], script: &str) -> Case {
    case(&[options, &["dexec-shell", "sh", "-c", script]].concat())
}

fn with_input(mut case: Case, stdin: impl Into<Vec<u8>>) -> Case {
    case.stdin = Some(stdin.into());
    case
}

fn cases(env_file: &str, paused: &str, stopped: &str) -> Vec<Case> {
    vec![
        shell(&[], "echo out; echo err >&2; exit 3"),
        shell(&[], "printf 'no newline'; printf 'nor here' >&2"),
        shell(&[], "printf '\\001\\000\\000\\000\\000\\000\\000\\003abc'"),
        shell(&[], "printf '\\r\\n\\033[1mbold\\377\\000'"),
        shell(&[], "seq 1 200000"),
        shell(&[], "exit 255"),
        shell(&[], "kill -9 $$"),
        shell(&[], "kill -15 $$"),
        shell(&[], "(sleep 5; echo late) >/dev/null & echo now; exit 7"),
        case(&["dexec-shell", "true"]),
        case(&["dexec-shell", "echo", "-i", "--help", "a b", ""]),
        case(&["--", "dexec-shell", "echo", "hi"]),
        case(&["-i=false", "dexec-shell", "echo", "hi"]),
        case(&["-it=false", "dexec-shell", "echo", "hi"]),
        case(&["dexec-shell", "nosuch"]),
        case(&["dexec-shell", "/bin/nosuch"]),
        case(&["dexec-shell", "/etc"]),
        case(&["dexec-shell", "/etc/not-executable"]),
        case(&["-w", "/nope", "dexec-shell", "true"]),
        case(&["-w", "/etc/passwd", "dexec-shell", "true"]),
        case(&["-w", "/tmp/../etc", "dexec-shell", "pwd"]),
        case(&["-w", "/tmp", "-w", "/etc", "dexec-shell", "pwd"]),
        case(&["-u", "nosuch", "dexec-shell", "true"]),
        case(&["-u", "app:nosuch", "dexec-shell", "true"]),
        case(&["-u", "99999999999", "dexec-shell", "true"]),
        case(&["-u", "app", "dexec-shell", "id"]),
        case(&["-u", "1000:3000", "dexec-shell", "id"]),
        case(&["-u", ":5", "dexec-shell", "id"]),
        case(&["-uroot", "dexec-nonroot", "id"]),
        case(&["dexec-nonroot", "id"]),
        case(&["--privileged", "dexec-shell", "grep", "CapEff", "/proc/self/status"]),
        shell(
            &["-e", "K=a b=c,d", "-e", "FROM_HERE", "-e", "UNSET_HERE=x"],
            "env | sort | grep -v -e HOSTNAME -e DEXEC_ID",
        ),
        shell(&["-e", "GREETING"], "echo [$GREETING]"),
        shell(&["-e", "K=1", "-e", "K"], "echo $K"),
        shell(&["-e", "PATH=/nowhere"], "echo found"),
        shell(&["-eK=3", "--env-file", env_file], "echo $A,$B,$K,$FROM_HERE"),
        case(&["--env-file", "/nope", "dexec-shell", "true"]),
        case(&["--env-file", "/tmp", "dexec-shell", "true"]),
        case(&["--env-file", "/nope", "dexec-nosuch", "true"]),
        case(&["-d", "dexec-shell", "true"]),
        case(&["-d", "dexec-shell", "nosuch"]),
        case(&["-d", "-u", "nosuch", "dexec-shell", "true"]),
        case(&["dexec-nosuch", "true"]),
        case(&["", "true"]),
        case(&[paused, "true"]),
        case(&[stopped, "true"]),
        with_input(shell(&["-i"], "cat"), "some\ninput"),
        with_input(shell(&["-i"], "cat"), ""),
        with_input(shell(&["-i"], "cat | sha256sum"), noise(8_000_000)),
        with_input(shell(&["-i"], "cat"), noise(8_000_000)),
        with_input(shell(&["-i"], "cat"), b"\x10\x11\x03\x04".as_slice()),
        with_input(shell(&[], "cat; echo end"), "not read"),
        with_input(case(&["-i", "dexec-static", "/bin/wait", "cat"]), "static"),
    ]
}

/// Commands that leave input unread. Podman itself then resets connections, and what its client prints is random, so
/// these are compared on Docker only.
fn cases_with_unread_input() -> Vec<Case> {
    vec![
        with_input(shell(&["-i"], "head -c 1"), noise(8_000_000)),
        with_input(shell(&["-i"], "exit 5"), noise(1_000_000)),
    ]
}

/// Invalid command lines, which fail before any request. docker's error messages name docker's own command.
const WRONG_LINES: &[&[&str]] = &[
    &["--nope", "dexec-shell", "true"],
    &["--use", "root", "dexec-shell", "true"],
    &["-Z", "dexec-shell", "true"],
    &["-iZ", "dexec-shell", "true"],
    &["-i0", "dexec-shell", "true"],
    &["-i=maybe", "dexec-shell", "true"],
    &["--privileged=yes", "dexec-shell", "true"],
    &["--tty=", "dexec-shell", "true"],
    &["--env"],
    &["-e"],
    &["-ie"],
];

fn version(cli: &Path) -> u32 {
    let text = program(cli).args(["--version"]).run().stdout_text();
    let number = text
        .split(' ')
        .nth(2)
        .and_then(|version| version.split('.').next()?.parse().ok());
    number.expect("docker tells its version")
}

/// Docker before 23 has a different message for a missing or empty container name and for a bad env file.
fn is_older_wording(theirs: &str) -> bool {
    theirs.starts_with("Error: No such container: ") || theirs.starts_with("read /tmp: ")
}

fn normal(mut done: Done) -> Done {
    // Podman's engine sometimes adds this line to a failed start.
    let noise = "Error: read unixpacket ";
    let stderr: String = done
        .stderr_text()
        .split_inclusive('\n')
        .filter(|line| !line.starts_with(noise))
        .collect();
    done.stderr = stderr.into_bytes();
    done
}

#[test]
fn raw_mode_prints_the_same_as_docker_exec() {
    let clis = docker_clis();
    if clis.is_empty() {
        eprintln!("skipped: this machine has no docker CLI to compare with");
        return;
    }
    let directory = tempfile::tempdir().expect("a directory can be made");
    let env_file = directory.path().join("env");
    std::fs::write(&env_file, "A=1 \n  B=\"2\"\nK=2\n# no\nFROM_HERE\nUNSET_HERE\n").expect("it can be written");
    let paused = Container::start("cli-paused", &["sleep", "1000"]);
    paused.post("pause");
    let stopped = Container::create("cli-stopped", &["sleep", "1000"], "no");

    let mut differences = Vec::new();
    let mut cases = cases(env_file.to_str().expect("it is UTF-8"), &paused.name, &stopped.name);
    if !is_podman() {
        cases.extend(cases_with_unread_input());
    }
    for case in cases {
        let run = |program: test_support::Run| {
            let run = program.args(&case.args).env("FROM_HERE", "yes");
            normal(match &case.stdin {
                Some(stdin) => run.stdin(stdin.clone()).run(),
                None => run.run(),
            })
        };
        let ours = run(dexec(["--raw"]));
        for cli in &clis {
            let mut theirs = run(program(cli).args(["exec"]));
            if version(cli) < 23 && is_older_wording(&theirs.stderr_text()) {
                theirs.stderr.clone_from(&ours.stderr);
            }
            // When the engine refuses a start, docker's client does not print the reason; dexec does.
            if theirs.stderr.starts_with(b"unable to upgrade to tcp, received ") {
                theirs.stderr.clone_from(&ours.stderr);
            }
            if ours != theirs {
                let show = |done: &Done| {
                    let stdout = done.stdout_text().chars().take(400).collect::<String>();
                    format!("{} {stdout:?} {:?}", done.code, done.stderr_text())
                };
                let (cli, args) = (cli.display(), &case.args);
                differences.push(format!(
                    "{cli} {args:?}\n  dexec  {}\n  docker {}",
                    show(&ours),
                    show(&theirs)
                ));
            }
        }
    }
    paused.post("unpause");
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn invalid_options_print_the_same_errors_as_docker_exec() {
    for cli in docker_clis() {
        for line in WRONG_LINES {
            let ours = dexec(*line).run();
            let theirs = program(&cli).args(["exec"]).args(*line).run();
            let first_line = |done: &Done| done.stderr_text().lines().next().unwrap_or_default().to_owned();
            assert_eq!(first_line(&ours), first_line(&theirs), "{line:?} {}", cli.display());
            assert_eq!(
                (ours.code, ours.stdout),
                (theirs.code, theirs.stdout),
                "{line:?} {}",
                cli.display()
            );
        }
    }
}
