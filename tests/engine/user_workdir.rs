//! The command's user, directory and privileges.

use serde_json::json;

use crate::dexec;
use test_support::assert_response;

fn id_as(user: &str) -> String {
    let script = "echo $(id -u):$(id -g) $(id -G) $HOME";
    let response = dexec(["-u", user, "dexec-shell", "sh", "-c", script]).response();
    assert_eq!(response["exitCode"], 0, "{response}");
    response["stdout"].as_str().expect("stdout is there").to_owned()
}

#[test]
fn user_is_accepted_in_every_form() {
    // The user's groups in /etc/group apply to a name and a number; Podman 4 omits the user's own group.
    for user in ["app", "1000"] {
        let id = id_as(user);
        assert!(["1000:1000 1000 2000 /home/app"].contains(&id.as_str()), "{user}: {id}");
    }
    for (user, id) in [
        ("root", "0:0 0 /root"),
        ("", "0:0 0 /root"),
        ("app:app", "1000:1000 1000 /home/app"),
        ("1000:3000", "1000:3000 3000 /home/app"),
        ("0:12345", "0:12345 12345 /root"),
    ] {
        assert_eq!(id_as(user), id, "{user}");
    }
    // A user without an entry in /etc/passwd: Podman 5 does not set HOME.
    assert!(
        ["4242:0 0 /", "4242:0 0"].contains(&id_as("4242").as_str()),
        "{}",
        id_as("4242")
    );
    assert!(id_as(":5").starts_with("0:5 "), "{}", id_as(":5"));
}

#[test]
fn unknown_user_is_reported() {
    for user in ["nosuch", "app:nosuch", "-1", "99999999999"] {
        let response = dexec(["-u", user, "dexec-shell", "true"]).response();
        assert_eq!(response["errorKind"], "userNotFound", "{user}: {response}");
        assert_eq!(response["stdout"], "", "{user}");
        let stderr = response["stderr"].as_str().expect("stderr is there");
        assert!(
            stderr.contains("unable to find") || stderr.contains("uids and gids"),
            "{user}: {stderr}"
        );
        assert!(
            matches!(response["exitCode"].as_i64(), Some(1 | 126)),
            "{user}: {response}"
        );
    }
}

#[test]
fn working_directory_is_set() {
    for (directory, shown) in [("/tmp", "/tmp"), ("/tmp/../etc", "/etc"), ("", "/srv")] {
        let response = dexec(["-w", directory, "dexec-shell", "pwd"]).response();
        assert_response(
            &response,
            json!({ "exitCode": 0, "stdout": shown, "stderr": "", "success": true }),
        );
    }
}

#[test]
fn invalid_working_directory_is_reported() {
    for directory in ["/nope", "/etc/passwd"] {
        let response = dexec(["-w", directory, "dexec-shell", "true"]).response();
        assert_eq!(response["errorKind"], "workdirNotFound", "{directory}: {response}");
        assert_eq!(response["stdout"], "", "{directory}");
        assert!(
            matches!(response["exitCode"].as_i64(), Some(125..=128)),
            "{directory}: {response}"
        );
    }
}

#[test]
fn privileged_adds_capabilities() {
    let capabilities = |flags: &[&str]| {
        let response = dexec(flags)
            .args(["dexec-shell", "grep", "CapEff", "/proc/self/status"])
            .response();
        let value = |field: &str| response[field].as_str().unwrap_or_default().to_owned();
        (value("stdout"), value("stderr"))
    };
    let (plain, _) = capabilities(&[]);
    let (privileged, refusal) = capabilities(&["--privileged"]);
    // Docker 20.10 requests capabilities that a machine may lack; the runtime's refusal then shows that they were
    // requested.
    assert!(
        privileged.starts_with("CapEff:") && privileged > plain || refusal.contains("unable to apply caps"),
        "{plain} {privileged} {refusal}"
    );
    assert_eq!(capabilities(&["--privileged=false"]).0, plain);
}

#[test]
fn file_as_working_directory_is_reported() {
    for directory in ["/etc/passwd", "/etc/passwd/below"] {
        let response = dexec(["-w", directory, "dexec-shell", "true"]).response();
        assert_eq!(response["errorKind"], "workdirNotFound", "{response}");
        let message = response["message"].as_str().expect("there is a message");
        assert!(
            message.contains("is not a directory") && !message.contains("does not exist"),
            "{message}"
        );
    }
}
