//! Each parameter of `exec`, and unknown parameters.

use serde_json::{Value, json};

use crate::client::{Answer, Client};
use test_support::api::{self, Container};

fn full(answer: &Answer) -> (&Value, &Value) {
    (&answer.structure["stdout"], &answer.structure["stderr"])
}

#[tokio::test]
async fn command_runs_with_the_given_workdir_user_and_env() {
    let client = Client::start(&[]).await;
    let script = "pwd; id -un; echo $A-$B; echo err >&2; exit 7";
    let more = json!({ "workdir": "/tmp", "user": "app", "env": ["A=1", "B=x y=z"] });
    let answer = client.shell(script, more).await;
    assert_eq!(full(&answer), (&json!("/tmp\napp\n1-x y=z"), &json!("err")));
    assert_eq!(answer.structure["exitCode"], 7);
    assert!(!answer.is_error);
    assert_eq!(answer.text, "/tmp\napp\n1-x y=z\n[stderr]\nerr\n[exit 7]");
}

#[tokio::test]
async fn empty_workdir_and_user_use_the_container_defaults() {
    let client = Client::start(&[]).await;
    let answer = client
        .shell("pwd; id -un", json!({ "workdir": "", "user": "", "path": null }))
        .await;
    assert_eq!(answer.text, "/srv\nroot");
}

#[tokio::test]
async fn optional_parameters_can_be_null() {
    let client = Client::start(&[]).await;
    let tools = client.service.list_all_tools().await.expect("the tools are listed");
    let properties = tools[0].input_schema["properties"]
        .as_object()
        .expect("there are parameters");
    let optional = properties
        .keys()
        .filter(|name| !matches!(name.as_str(), "container" | "command"));
    let nulls: serde_json::Map<_, _> = optional.map(|name| (name.clone(), Value::Null)).collect();
    assert_eq!(nulls.len(), 13);
    assert_eq!(client.shell("pwd", Value::Object(nulls)).await.text, "/srv");
}

#[tokio::test]
async fn stdin_is_passed_completely() {
    let client = Client::start(&[]).await;
    let text = "é\n".repeat(200_000);
    let answer = client.shell("wc -c; wc -c < /dev/null", json!({ "stdin": text })).await;
    assert_eq!(answer.text, format!("{}\n0", text.len()));
    assert_eq!(client.shell("cat; echo end", json!({})).await.text, "end");
    let answer = client.shell("cat", json!({ "stdin": "x", "detach": true })).await;
    assert_eq!(answer.structure["errorKind"], "invalidRequest");
}

#[tokio::test]
async fn detached_command_keeps_running() {
    let container = Container::start("mcp-detached", &["sleep", "1000000"]);
    let client = Client::start(&[]).await;
    let run = async |script: &str, more: Value| {
        let arguments = json!({ "container": container.name, "command": ["sh", "-c", script] });
        client.exec(api::merged(arguments, more)).await
    };
    let begin = json!({ "detach": true, "timeout": 1000 });
    let answer = run("sleep 2; echo done > /tmp/detached", begin).await;
    assert_eq!(answer.structure["exitCode"], 0);
    let id = answer.structure["execId"].as_str().expect("it has an id").to_owned();
    assert_eq!(answer.text, format!("[exit 0, running in the background as {id}]"));
    let wait = "until [ -e /tmp/detached ]; do sleep 0.1; done; cat /tmp/detached";
    assert_eq!(run(wait, json!({})).await.text, "done");
}

#[tokio::test]
async fn parsed_json_keeps_its_key_order() {
    let client = Client::start(&[]).await;
    let answer = client
        .shell(r#"echo '{"z": 1, "a": [1.5, null]}'"#, json!({ "parseJson": true }))
        .await;
    let structure = answer.structure.to_string();
    assert!(structure.contains(r#""json":{"z":1,"a":[1.5,null]}"#), "{structure}");
    let answer = client.shell("echo no", json!({ "parseJson": true })).await;
    let reason = answer.structure["parseJsonError"].as_str().expect("it is reported");
    assert!(reason.starts_with("stdout is not JSON"), "{reason}");
    assert!(answer.text.contains(reason), "{}", answer.text);
    // Deeper than the MCP library allows.
    let deep = "head -c 5000 /dev/zero | tr '\\0' '['; head -c 5000 /dev/zero | tr '\\0' ']'";
    let answer = client.shell(deep, json!({ "parseJson": true })).await;
    let reason = answer.structure["parseJsonError"].as_str().expect("it is reported");
    assert!(reason.contains("too deep"), "{reason}");
    assert_eq!(answer.structure["stdout"].as_str().map(str::len), Some(10_000));
}

#[tokio::test]
async fn limit_applies_to_text_and_structured_content() {
    let client = Client::start(&["--default-limit", "500"]).await;
    let count = |answer: &Answer, part: &str| answer.structure[part].as_str().map(|text| text.chars().count());
    let limited = client
        .shell("seq 1 1000; seq 1 1000 >&2", json!({ "limit": 300, "compact": false }))
        .await;
    assert_eq!(
        (count(&limited, "stdout"), count(&limited, "stderr")),
        (Some(300), Some(300))
    );
    assert_eq!(limited.structure["isTruncated"], true);
    assert!(limited.text.ends_with("[exit 0, truncated]"), "{}", limited.text);

    let whole = client.shell("seq 1 1000", json!({ "compact": false })).await;
    assert_eq!(count(&whole, "stdout"), Some(3892));
    assert_eq!(whole.structure["isTruncated"], Value::Null);
    let text = whole
        .text
        .strip_suffix("\n[exit 0, truncated]")
        .expect("the text is cut");
    assert_eq!(text.chars().count(), 500);
    assert!(text.contains("characters left out"), "{text}");

    // Without a limit and without `compact`, both parts have the default limit.
    let default = client.shell("seq 1 1000", json!({})).await;
    assert_eq!(count(&default, "stdout"), Some(500));
    assert_eq!(default.structure["isTruncated"], true);
    assert_eq!(
        default.text,
        format!(
            "{}\n[exit 0, truncated]",
            default.structure["stdout"].as_str().unwrap_or_default()
        )
    );

    // The output is only in the text, so the structured part reports that it was truncated.
    let compact = client.shell("seq 1 1000", json!({ "compact": true })).await;
    assert_eq!(
        compact.structure,
        json!({ "exitCode": 0, "success": true, "isTruncated": true })
    );
    assert_eq!(
        client.shell("seq 1 1000", json!({ "limit": 0 })).await.text,
        "[exit 0, truncated]"
    );
    assert_eq!(client.shell("echo x", json!({ "limit": 5.0 })).await.text, "x");
}

#[tokio::test]
async fn newlines_and_escapes_are_kept_on_request() {
    let client = Client::start(&[]).await;
    let script = "printf '\\033[1mx\\033[0m\\n'";
    assert_eq!(client.shell(script, json!({})).await.structure["stdout"], "x");
    let kept = json!({ "keepNewline": true, "keepAnsi": true });
    assert_eq!(
        client.shell(script, kept).await.structure["stdout"],
        "\u{1b}[1mx\u{1b}[0m\n"
    );
}

#[tokio::test]
async fn compact_omits_the_output_from_structured_content() {
    let verdict = json!({ "exitCode": 0, "success": true });
    let whole = json!({ "exitCode": 0, "stdout": "hello", "stderr": "", "success": true });
    let (client, operator) = (
        Client::start(&[]).await,
        Client::start(&["--default-compact", "true"]).await,
    );
    for (client, more, structure) in [
        (&client, json!({}), &whole),
        (&client, json!({ "compact": true }), &verdict),
        (&client, json!({ "compact": false }), &whole),
        (&operator, json!({}), &verdict),
        (&operator, json!({ "compact": true }), &verdict),
        (&operator, json!({ "compact": false }), &whole),
    ] {
        let answer = client.shell("echo hello", more.clone()).await;
        assert_eq!(
            (&answer.structure, answer.text.as_str()),
            (structure, "hello"),
            "{more}"
        );
    }
    // The rule compares with the whole output: here the limited answer would be smaller.
    let answer = client
        .shell("seq 1 20000", json!({ "compact": true, "limit": 300 }))
        .await;
    let shown = answer.structure["stdout"].as_str().map(|text| text.chars().count());
    assert_eq!(shown, Some(300));
    // To ask for `json` is enough to get it.
    for (client, more) in [
        (&client, json!({ "parseJson": true })),
        (&operator, json!({ "parseJson": true })),
    ] {
        let answer = client.shell("echo '[1]'", more).await;
        assert_eq!(answer.structure["json"], json!([1]));
    }
    let answer = client
        .shell("echo '[1]'", json!({ "parseJson": true, "compact": true }))
        .await;
    assert_eq!(answer.structure, verdict);
}

#[tokio::test]
async fn allowed_groups_and_privileges_are_applied() {
    let client = Client::start(&["--allow-group-add", "--allow-privileged"]).await;
    let arguments = json!({ "container": "dexec-setpriv", "command": ["id", "-G"], "groupAdd": ["5000"] });
    let answer = client.exec(arguments).await;
    assert!(answer.text.split(' ').any(|group| group == "5000"), "{}", answer.text);
    // On some machines, Docker 20.10 can't raise privileges and reports an error; the request did reach it.
    let answer = client
        .shell("grep CapEff /proc/self/status", json!({ "privileged": true }))
        .await;
    let plain = client.shell("grep CapEff /proc/self/status", json!({})).await;
    assert_ne!(answer.text, plain.text);
    assert_ne!(answer.structure["errorKind"], "refusedByPolicy", "{}", answer.text);
}

/// `path` is only the base directory of env files, and reveals nothing about the host.
#[tokio::test]
async fn path_without_an_env_file_is_ignored() {
    let client = Client::start(&[]).await;
    for path in ["/", ".", "/nonexistent", "/etc/passwd", "/root", ""] {
        let answer = client.shell("echo ran", json!({ "path": path })).await;
        assert_eq!(answer.text, "ran", "{path:?}");
    }
}

#[tokio::test]
async fn invalid_argument_error_names_the_parameter() {
    let client = Client::start(&[]).await;
    let base = json!({ "container": "dexec-shell", "command": ["true"] });
    for (more, words) in [
        (json!({ "timeout": 999 }), "`timeout` must be at least 1000"),
        (json!({ "timeout": 600_001 }), "`timeout` must be at most 600000"),
        (json!({ "timeout": 1000.5 }), "`timeout` must be a whole number"),
        (json!({ "timeout": "1000" }), "`timeout` must be an integer"),
        (json!({ "limit": -1 }), "`limit` must be at least 0"),
        (json!({ "limit": 1e300 }), ""),
        (json!({ "command": [] }), "`command` has fewer than 1 items"),
        (json!({ "command": "true" }), "`command` must be an array of strings"),
        (json!({ "command": ["true", 1] }), "`command[1]` must be a string"),
        (
            json!({ "command": ["x".repeat(65_537)] }),
            "`command[0]` is longer than 65536 characters",
        ),
        (
            json!({ "command": vec!["true"; 1001] }),
            "`command` has more than 1000 items",
        ),
        (json!({ "command": [""] }), "the command is empty"),
        (json!({ "container": "" }), "the container's name is empty"),
        (json!({ "container": null }), "`container` must be a string"),
        (
            json!({ "container": "a".repeat(256) }),
            "`container` is longer than 255 characters",
        ),
        (json!({ "container": "a/../b" }), "invalid container name or id"),
        (json!({ "env": "A=1" }), "`env` must be an array of strings"),
        (json!({ "env": ["=1"] }), "has no name"),
        (json!({ "workdir": "tmp" }), "the working directory `tmp` is relative"),
        (
            json!({ "workdir": "/".repeat(4097) }),
            "`workdir` is longer than 4096 characters",
        ),
        (json!({ "detach": "yes" }), "`detach` must be a boolean"),
        (json!({ "colour": true }), "unknown parameter `colour`"),
        (json!({ "container": "-it" }), "`container` must not begin with `-`"),
        (
            json!({ "command": ["-it", "sh"] }),
            "`command[0]` must not begin with `-`",
        ),
        (json!({ "workdir": "-w" }), "`workdir` must not begin with `-`"),
        (json!({ "user": "-u" }), "`user` must not begin with `-`"),
        (json!({ "env": ["A=1", "-e"] }), "`env[1]` must not begin with `-`"),
        (
            json!({ "envFile": "--privileged" }),
            "`envFile` must not begin with `-`",
        ),
    ] {
        let answer = client.exec(api::merged(base.clone(), more.clone())).await;
        if words.is_empty() {
            assert!(!answer.is_error, "{more}: {}", answer.text);
            continue;
        }
        assert!(answer.is_error, "{more}");
        assert_eq!(answer.structure["errorKind"], "invalidRequest", "{more}");
        let message = answer.structure["message"].as_str().expect("there is a message");
        assert!(message.contains(words), "{more}: {message}");
        assert_eq!(answer.text.matches(words).count(), 1, "{}", answer.text);
    }
    for (arguments, words) in [
        (json!({ "command": ["true"] }), "`container` is missing"),
        (json!({ "container": "dexec-shell" }), "`command` is missing"),
    ] {
        let answer = client.exec(arguments).await;
        assert!(answer.text.contains(words), "{}", answer.text);
    }
}

#[tokio::test]
async fn errors_never_repeat_the_values_of_variables() {
    let client = Client::start(&[]).await;
    let base = json!({ "container": "dexec-shell", "command": ["true"] });
    for more in [
        json!({ "env": "TOKEN=hunter2" }),
        json!({ "env": [{ "TOKEN": "hunter2" }] }),
        json!({ "env": ["TOKEN=hunter2\u{0}"] }),
        json!({ "env": [format!("TOKEN=hunter2{}", "x".repeat(65_536))] }),
        json!({ "stdin": ["hunter2"] }),
    ] {
        let answer = client.exec(api::merged(base.clone(), more)).await;
        assert!(answer.is_error);
        let whole = format!("{}{}", answer.text, answer.structure);
        assert!(!whole.contains("hunter2"), "{whole}");
    }
}

#[tokio::test]
async fn error_names_a_variable_that_podman_refuses() {
    if !api::is_podman() {
        return;
    }
    let client = Client::start(&["--pass-env", "DEXEC_NOT_SET"]).await;
    let answer = client.shell("true", json!({ "env": ["DEXEC_NOT_SET"] })).await;
    assert!(
        answer.is_error && answer.text.contains("DEXEC_NOT_SET"),
        "{}",
        answer.text
    );
}
