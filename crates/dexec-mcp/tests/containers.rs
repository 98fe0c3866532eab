//! The tool `containers`.

use serde_json::{Value, json};

use crate::client::Client;
use test_support::api::Container;

fn names(structure: &Value) -> Vec<&str> {
    let rows = structure["containers"].as_array().expect("it is a list");
    rows.iter().filter_map(|row| row["name"].as_str()).collect()
}

#[tokio::test]
async fn running_containers_are_listed_with_their_details() {
    let stopped = Container::create("mcp-list-stopped", &["true"], "no");
    let paused = Container::start("mcp-list-paused", &["sleep", "1000000"]);
    paused.post("pause");
    let client = Client::start(&[]).await;
    let answer = client.call("containers", json!({})).await;
    paused.post("unpause");
    assert!(!answer.is_error);
    let names = names(&answer.structure);
    assert!(
        names.contains(&"dexec-shell") && names.contains(&paused.name.as_str()),
        "{names:?}"
    );
    assert!(!names.contains(&stopped.name.as_str()), "{names:?}");
    assert!(names.is_sorted());

    let rows = answer.structure["containers"].as_array().expect("it is a list");
    let row = |name: &str| rows.iter().find(|row| row["name"] == name).expect("it is there");
    let shell = row("dexec-shell");
    assert_eq!(shell["state"], "running");
    assert!(
        shell["image"]
            .as_str()
            .is_some_and(|image| image.contains("dexec-test/shell"))
    );
    assert_eq!(shell["id"].as_str().map(str::len), Some(12));
    assert_eq!(
        (&shell["composeProject"], &shell["composeService"]),
        (&json!("dexec-test"), &json!("shell"))
    );
    assert_eq!(row(&paused.name)["state"], "paused");
    let line = answer
        .text
        .lines()
        .find(|line| line.starts_with("dexec-shell "))
        .expect("it has a line");
    assert!(line.contains("running") && line.ends_with("dexec-test/shell"), "{line}");
}

#[tokio::test]
async fn only_allowed_containers_are_listed() {
    let client = Client::start(&["--allow-container", "dexec-*", "--deny-container", "*static*"]).await;
    let answer = client.call("containers", json!({})).await;
    let names = names(&answer.structure);
    assert!(
        names.contains(&"dexec-shell") && !names.contains(&"dexec-static"),
        "{names:?}"
    );
    assert!(!answer.text.contains("dexec-static"), "{}", answer.text);
}

#[tokio::test]
async fn list_can_be_empty_and_takes_no_parameters() {
    let client = Client::start(&["--allow-container", "nosuch"]).await;
    let answer = client.call("containers", json!({})).await;
    assert_eq!(answer.text, "[no container is running]");
    assert_eq!(answer.structure, json!({ "containers": [] }));
    let params = rmcp::model::CallToolRequestParams::new("containers");
    let params = params.with_arguments(json!({ "all": true }).as_object().expect("it is an object").clone());
    let error = client
        .service
        .call_tool(params)
        .await
        .expect_err("there is no such parameter");
    assert!(error.to_string().contains("takes no parameters"), "{error}");
}
