//! The structured part and the text of an answer.

use serde_json::{Value, json};

use crate::client::Client;
use test_support::api::{self, Container};

#[tokio::test]
async fn text_is_the_output_and_a_status_line() {
    let client = Client::start(&[]).await;
    for (script, text) in [
        ("echo out", "out"),
        ("true", "[exit 0]"),
        ("exit 3", "[exit 3]"),
        ("echo out; exit 3", "out\n[exit 3]"),
        ("echo err >&2", "[stderr]\nerr"),
        ("echo out; echo err >&2; exit 1", "out\n[stderr]\nerr\n[exit 1]"),
        ("printf 'a\\377b'", "a\u{fffd}b\n[exit 0, not UTF-8]"),
        ("kill -9 $$", "[exit 137]"),
    ] {
        let answer = client.shell(script, json!({})).await;
        assert_eq!(answer.text, text, "{script}");
        assert!(!answer.is_error, "{script}");
    }
}

/// Some clients show their model only the structured part, others only the text.
#[tokio::test]
async fn each_part_has_the_output_and_the_result() {
    let both = Client::start(&["--default-limit", "1000"]).await;
    let text = Client::start(&["--default-limit", "1000", "--answers", "text"]).await;
    for (script, more, marks) in [
        (
            "echo O-U-T; echo E-R-R >&2; exit 3",
            json!({}),
            &["O-U-T", "E-R-R", "3"][..],
        ),
        (
            "echo F-I-R-S-T; seq 1 20000; echo L-A-S-T",
            json!({}),
            &["F-I-R-S-T", "L-A-S-T", "left out"],
        ),
        (
            "echo F-I-R-S-T; seq 1 20000",
            json!({ "limit": 300 }),
            &["F-I-R-S-T", "20000", "left out"],
        ),
        (
            "echo F-I-R-S-T; seq 1 20000",
            json!({ "compact": false }),
            &["F-I-R-S-T", "20000"],
        ),
        (
            "echo S-O-F-A-R; sleep 60",
            json!({ "timeout": 1000 }),
            &["S-O-F-A-R", "124"],
        ),
        ("printf 'B-Y-T-E\\377'", json!({}), &["B-Y-T-E\u{fffd}"]),
        ("echo '{\"J-S-O-N\":1}'", json!({ "parseJson": true }), &["J-S-O-N"]),
        ("exec nosuch", json!({}), &["nosuch", "127"]),
    ] {
        let answer = both.shell(script, more.clone()).await;
        let structure = answer.structure.to_string();
        let alone = text.shell(script, more).await.text;
        for mark in marks {
            assert!(structure.contains(mark), "{script}: {structure}");
            assert!(answer.text.contains(mark), "{script}: {}", answer.text);
        }
        assert_eq!(alone, answer.text, "{script}");
    }
    // Nothing was run.
    let refused = json!({ "container": "nosuch", "command": ["true"] });
    let answer = both.exec(refused.clone()).await;
    for part in [answer.structure.to_string(), answer.text.clone()] {
        assert!(part.contains("containerNotFound") && part.contains("nosuch"), "{part}");
    }
    let alone = text.exec(refused).await;
    assert_eq!((alone.text, alone.is_error), (answer.text, true));
    for client in [both, text] {
        let listed = client.call("containers", json!({})).await;
        assert!(listed.text.contains("dexec-shell"), "{}", listed.text);
    }
}

#[tokio::test]
async fn failure_in_the_container_is_not_a_tool_error() {
    let client = Client::start(&[]).await;
    let base = json!({ "container": "dexec-shell", "command": ["true"] });
    for (more, kind, words) in [
        (json!({ "command": ["nosuch"] }), "commandNotFound", "`nosuch`"),
        (json!({ "command": ["cd", "/tmp"] }), "commandNotFound", "in `workdir`"),
        (
            json!({ "command": ["/etc/not-executable"] }),
            "commandNotExecutable",
            "Give a program",
        ),
        (json!({ "workdir": "/nosuch" }), "workdirNotFound", "Give a `workdir`"),
        (json!({ "user": "nosuch" }), "userNotFound", "Give a `user`"),
    ] {
        let answer = client.exec(api::merged(base.clone(), more)).await;
        assert_eq!(answer.structure["errorKind"], kind, "{}", answer.text);
        assert!(!answer.is_error, "{kind}");
        let message = answer.structure["message"].as_str().expect("there is a message");
        assert!(message.contains(words), "{message}");
        let verdict = answer.text.lines().last().expect("there is a line");
        assert!(verdict.ends_with(&format!(", {kind}: {message}]")), "{}", answer.text);
        assert!(answer.text.starts_with("[stderr]\n"), "{}", answer.text);
    }
}

#[tokio::test]
async fn container_that_cannot_run_commands_is_a_tool_error() {
    let client = Client::start(&[]).await;
    let stopped = Container::create("mcp-stopped", &["true"], "no");
    let paused = Container::start("mcp-paused", &["sleep", "1000000"]);
    paused.post("pause");
    for (container, kind) in [
        ("dexec-shel", "containerNotFound"),
        (stopped.name.as_str(), "containerNotRunning"),
        (paused.name.as_str(), "containerPaused"),
    ] {
        let answer = client
            .exec(json!({ "container": container, "command": ["true"] }))
            .await;
        assert_eq!(answer.structure["errorKind"], kind, "{}", answer.text);
        assert!(answer.is_error, "{kind}");
        assert_eq!(answer.structure["exitCode"], 1);
    }
    paused.post("unpause");
    let answer = client
        .exec(json!({ "container": "dexec-shel", "command": ["true"] }))
        .await;
    assert!(answer.text.contains("Did you mean `dexec-shell`?"), "{}", answer.text);
}

#[tokio::test]
async fn large_result_is_exact_and_an_oversized_one_is_truncated() {
    let client = Client::start(&[]).await;
    let expected = (1..=600_000)
        .map(|number| number.to_string())
        .collect::<Vec<_>>()
        .join("\n");
    let answer = client.shell("seq 1 600000", json!({ "compact": false })).await;
    assert_eq!(answer.structure["stdout"].as_str(), Some(expected.as_str()));
    assert_eq!(answer.structure["isTruncated"], Value::Null);
    assert!(answer.text.chars().count() < 21_000);

    // More characters, bytes, or JSON escapes than a message can hold.
    for script in [
        "yes é | head -c 24000000",
        "head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2",
        "yes '\"' | head -c 6000000 | tee /dev/stderr",
    ] {
        let all = json!({ "compact": false, "limit": 100_000_000, "keepAnsi": true, "timeout": 120_000 });
        let answer = client.shell(script, all).await;
        let size = answer.structure.to_string().len() + Value::String(answer.text.clone()).to_string().len();
        assert!(size < 10 * 1024 * 1024, "{script}: {size}");
        assert!(size > 8 * 1024 * 1024, "{script}: {size}");
        assert_eq!(answer.structure["isTruncated"], true, "{script}");
        assert!(answer.text.ends_with("\n[exit 0, truncated]"), "{script}");
        let stdout = answer.structure["stdout"].as_str().expect("it is there");
        assert!(stdout.contains("characters left out"), "{script}");
    }
    let json = "printf '['; yes '1e15,' | head -c 6000000; printf '0]'";
    let answer = client.shell(json, json!({ "compact": false, "parseJson": true })).await;
    let reason = answer.structure["parseJsonError"].as_str().expect("it is reported");
    assert!(reason.contains("too large"), "{reason}");
}

#[tokio::test]
async fn stopped_container_ends_its_commands() {
    let client = Client::start(&[]).await;
    let container = Container::start("mcp-ends", &["sleep", "1000000"]);
    let call = client.begin(json!({ "container": container.name, "command": ["sh", "-c", "echo so far; sleep 600"] }));
    let call = call.await;
    while container
        .processes()
        .iter()
        .filter(|line| line.contains("sleep 600"))
        .count()
        == 0
    {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    api::call("POST", &format!("/containers/{}/kill", container.name), &Value::Null);
    let answer = client.end_of(call).await;
    assert_eq!(answer.structure["errorKind"], "containerStopped", "{}", answer.text);
    assert!(
        answer.is_error && answer.text.starts_with("so far\n[exit 137, containerStopped: "),
        "{}",
        answer.text
    );
}
