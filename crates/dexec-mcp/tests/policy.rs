//! The operator's rules, and attempts to circumvent them.

use serde_json::{Value, json};

use crate::client::{Answer, Client};
use test_support::api::{self, Container};

#[track_caller]
fn refusal(answer: &Answer) -> String {
    assert!(answer.is_error, "{}", answer.text);
    assert_eq!(answer.structure["errorKind"], "refusedByPolicy", "{}", answer.text);
    assert_eq!(answer.structure["exitCode"], 1);
    answer.structure["message"]
        .as_str()
        .expect("there is a message")
        .to_owned()
}

async fn run_in(client: &Client, container: &str) -> Answer {
    client
        .exec(json!({ "container": container, "command": ["/bin/wait", "echo", "ran"] }))
        .await
}

fn id_of(name: &str) -> String {
    let container = api::get(&format!("/containers/{name}/json"));
    container["Id"].as_str().expect("it has an id").to_owned()
}

#[tokio::test]
async fn privileges_and_groups_are_refused_by_default() {
    let client = Client::start(&[]).await;
    let answer = client.shell("echo ran", json!({ "privileged": true })).await;
    assert!(refusal(&answer).contains("--allow-privileged"));
    let answer = client.shell("echo ran", json!({ "groupAdd": ["0"] })).await;
    assert!(refusal(&answer).contains("--allow-group-add"));
    assert_eq!(
        client
            .shell("echo ran", json!({ "privileged": false, "groupAdd": [] }))
            .await
            .text,
        "ran"
    );
}

#[tokio::test]
async fn denied_container_is_refused_by_every_name_and_id() {
    let client = Client::start(&["--deny-container", "dexec-st*"]).await;
    let id = id_of("dexec-static");
    for name in ["dexec-static", "/dexec-static", &id, &id[..12], &id[..20]] {
        let answer = run_in(&client, name).await;
        let message = refusal(&answer);
        assert!(message.contains("--deny-container dexec-st*"), "{message}");
        // The name is not revealed to a caller that does not know it.
        let is_known = name.contains("dexec-static");
        assert_eq!(message.contains("dexec-static"), is_known, "{message}");
    }
    // Names are case-sensitive in the engines too: no container has this one.
    assert_eq!(
        run_in(&client, "DEXEC-STATIC").await.structure["errorKind"],
        "containerNotFound"
    );
    assert_eq!(client.shell("echo ran", json!({})).await.text, "ran");
}

#[tokio::test]
async fn container_can_be_allowed_and_denied_by_id() {
    let id = id_of("dexec-static");
    for rule in [
        id[..12].to_owned(),
        id[..12].to_uppercase(),
        id.clone(),
        format!("{}*", &id[..12]),
    ] {
        let client = Client::start(&["--deny-container", &rule]).await;
        for name in ["dexec-static", &id, &id[..12]] {
            refusal(&run_in(&client, name).await);
        }
        assert_eq!(client.shell("echo ran", json!({})).await.text, "ran");
        let client = Client::start(&["--allow-container", &rule]).await;
        assert_eq!(run_in(&client, "dexec-static").await.text, "ran");
        refusal(&run_in(&client, "dexec-shell").await);
    }
}

/// A rule for an id applies to exactly one container, whatever its name and the names of others.
#[tokio::test]
async fn rule_for_an_id_does_not_match_another_name() {
    let own = Container::start("mcp-own-id", &["sleep", "1000000"]);
    let id = id_of(&own.name);
    let run = async |options: &[&str], name: &str| {
        let client = Client::start(options).await;
        let call = json!({ "container": name, "command": ["echo", "ran"] });
        client.exec(call).await
    };
    let rename = |from: &str, to: &str| api::post(&format!("/containers/{from}/rename?name={to}"));
    let other = Container::start("mcp-other-id", &["sleep", "1000000"]);
    let taken = &id[..13];
    rename(&other.name, taken);
    let refused = run(&["--allow-container", taken], &id_of(taken)).await;
    let denied = run(&["--deny-container", taken], &id_of(taken)).await;
    let own_s = run(&["--allow-container", taken], &id).await;
    rename(&own.name, "dexec-own-mcp-renamed-id");
    let renamed = run(&["--deny-container", taken], "dexec-own-mcp-renamed-id").await;
    rename("dexec-own-mcp-renamed-id", &own.name);
    rename(taken, &other.name);
    refusal(&refused);
    refusal(&denied);
    refusal(&renamed);
    assert_eq!(own_s.text, "ran");
}

#[tokio::test]
async fn rule_that_matches_nothing_is_refused_at_startup() {
    for rule in ["", "a,b", "we b", "sha256:0123456789ab"] {
        let output = crate::client::server(["--deny-container", rule]).output().await;
        let output = output.expect("it can be run");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && stderr.contains("--deny-container"),
            "{stderr}"
        );
    }
}

/// A pattern that is meant for names does not match ids, which could begin with anything.
#[tokio::test]
async fn rule_for_names_does_not_match_ids() {
    let id = id_of("dexec-shell");
    for pattern in [format!("{}*", &id[..4]), format!("{}*", &id[..11]), "?".repeat(64)] {
        let client = Client::start(&["--allow-container", &pattern]).await;
        for name in ["dexec-shell", &id, &id[..12]] {
            let message = refusal(&run_in(&client, name).await);
            assert_eq!(message.contains("dexec-shell"), name == "dexec-shell", "{message}");
        }
        assert_eq!(
            client.call("containers", json!({})).await.text,
            "[no container is running]"
        );
    }
}

#[tokio::test]
async fn only_allowed_containers_are_accepted() {
    let client = Client::start(&["--allow-container", "dexec-static", "--allow-container", "dexec-non*"]).await;
    let id = id_of("dexec-static");
    for name in ["dexec-static", "/dexec-static", &id, &id[..12], "dexec-nonroot"] {
        assert_eq!(run_in(&client, name).await.text, "ran", "{name}");
    }
    let message = refusal(&run_in(&client, &id_of("dexec-shell")).await);
    assert!(!message.contains("dexec-shell"), "{message}");
    assert!(
        message.contains("--allow-container allows dexec-static, dexec-non*"),
        "{message}"
    );
    // The error for a missing container does not reveal hidden ones.
    let answer = run_in(&client, "dexec-shel").await;
    assert_eq!(answer.structure["errorKind"], "containerNotFound");
    assert!(!answer.text.contains("dexec-shell"), "{}", answer.text);
}

#[tokio::test]
async fn policy_follows_a_renamed_container() {
    let container = Container::start("mcp-renamed", &["sleep", "1000000"]);
    let client = Client::start(&["--allow-container", &container.name]).await;
    assert_eq!(run_in(&client, &container.name).await.text, "ran");
    let id = id_of(&container.name);
    api::post(&format!(
        "/containers/{}/rename?name=dexec-own-mcp-other",
        container.name
    ));
    refusal(&run_in(&client, &id).await);
    api::post(&format!(
        "/containers/dexec-own-mcp-other/rename?name={}",
        container.name
    ));
    assert_eq!(run_in(&client, &id).await.text, "ran");
}

#[tokio::test]
async fn only_allowed_users_are_accepted() {
    let client = Client::start(&["--allow-user", "app", "--allow-user", "1000:1000"]).await;
    for user in [json!("app"), json!("1000:1000")] {
        assert_eq!(client.shell("id -u", json!({ "user": user })).await.text, "1000");
    }
    for user in ["root", "0", "1000", "app:root", "APP", " app", "app ", ":0"] {
        let message = refusal(&client.shell("echo ran", json!({ "user": user })).await);
        assert!(message.contains("--allow-user allows app, 1000:1000"), "{message}");
    }
    // Without a user, the container's own user is used.
    for user in [Value::Null, json!("")] {
        let message = refusal(&client.shell("echo ran", json!({ "user": user })).await);
        assert!(message.contains("the container's user `root`"), "{message}");
        let own = json!({ "container": "dexec-nonroot", "command": ["id", "-un"], "user": user });
        assert_eq!(client.exec(own).await.text, "app");
    }
    let client = Client::start(&["--allow-user", "root"]).await;
    assert_eq!(client.shell("id -u", json!({})).await.text, "0");
}

#[tokio::test]
async fn programs_are_allowed_and_denied_by_name() {
    let deny = Client::start(&["--deny-command", "rm", "--deny-command", "mk*"]).await;
    let run = async |client: &Client, program: &str| {
        client
            .exec(json!({ "container": "dexec-shell", "command": [program, "--help"] }))
            .await
    };
    for program in ["rm", "/bin/rm", "../bin/rm", "./rm", "mkdir", "/usr/bin/mkfs"] {
        let message = refusal(&run(&deny, program).await);
        assert!(message.contains("--deny-command"), "{message}");
    }
    assert!(!run(&deny, "ls").await.is_error);

    let allow = Client::start(&["--allow-command", "ls", "--allow-command", "/bin/c*"]).await;
    for program in ["ls", "/bin/cat", "/bin/cp"] {
        assert!(!run(&allow, program).await.is_error, "{program}");
    }
    for program in [
        "cat",
        "/tmp/ls",
        "./ls",
        "LS",
        "sh",
        "/usr/bin/ls",
        "/bin/c/../sh",
        "/bin/../bin/cat",
    ] {
        let message = refusal(&run(&allow, program).await);
        assert!(message.contains("--allow-command allows ls, /bin/c*"), "{message}");
    }
}

#[tokio::test]
async fn commands_over_the_concurrency_limit_wait() {
    let client = Client::start(&["--max-concurrent", "1"]).await;
    let container = Container::start("mcp-turns", &["sleep", "1000000"]);
    let script = "mkdir /tmp/turn || exit 1; sleep 0.2; rmdir /tmp/turn";
    let calls = (0..4).map(|_| client.begin(json!({ "container": container.name, "command": ["sh", "-c", script] })));
    let mut begun = Vec::new();
    for call in calls {
        begun.push(call.await);
    }
    for call in begun {
        assert_eq!(client.end_of(call).await.text, "[exit 0]");
    }
}
