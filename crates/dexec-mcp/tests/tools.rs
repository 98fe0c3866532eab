//! The tools that the server offers.

use serde_json::{Value, json};

use crate::client::{Client, server};

async fn tools(options: &[&str]) -> Vec<Value> {
    let client = Client::start(options).await;
    let tools = client.service.list_all_tools().await.expect("the tools are listed");
    let tools = tools
        .iter()
        .map(|tool| serde_json::to_value(tool).expect("a tool is JSON"));
    tools.collect()
}

#[tokio::test]
async fn tools_have_names_titles_and_descriptions() {
    let tools = tools(&[]).await;
    let names: Vec<&str> = tools.iter().filter_map(|tool| tool["name"].as_str()).collect();
    assert_eq!(names, ["exec", "containers"]);
    assert_eq!(tools[0]["title"], "Docker Exec");
    assert_eq!(tools[0]["annotations"]["destructiveHint"], true);
    assert_eq!(tools[1]["annotations"]["readOnlyHint"], true);
    let description = tools[0]["description"].as_str().expect("it is described");
    for words in ["30s by default", "20000 characters", "WARNING"] {
        assert!(description.contains(words), "{description}");
    }
}

/// The parameters of Pare's tool, with its types, defaults and limits.
#[tokio::test]
async fn exec_has_every_parameter_of_pare() {
    let tools = tools(&[]).await;
    let schema = &tools[0]["inputSchema"];
    assert_eq!(schema["required"], json!(["container", "command"]));
    assert_eq!(schema["additionalProperties"], false);
    let text = |most: u64| json!({ "type": "string", "maxLength": most });
    let switch = |default: bool| json!({ "type": "boolean", "default": default });
    for (name, expected) in [
        ("container", text(255)),
        (
            "command",
            json!({ "type": "array", "maxItems": 1000, "items": text(65536) }),
        ),
        ("workdir", text(4096)),
        ("user", text(255)),
        (
            "env",
            json!({ "type": "array", "maxItems": 1000, "items": text(65536), "default": [] }),
        ),
        ("envFile", text(4096)),
        ("detach", switch(false)),
        (
            "timeout",
            json!({ "type": "integer", "minimum": 1000, "maximum": 600_000 }),
        ),
        ("parseJson", switch(false)),
        ("limit", json!({ "type": "integer" })),
        ("path", text(4096)),
        ("compact", switch(false)),
    ] {
        let property = &schema["properties"][name];
        for (word, value) in expected.as_object().expect("it is an object") {
            assert_eq!(&property[word], value, "{name}: {property}");
        }
        assert!(property["description"].is_string(), "{name}");
    }
    for name in ["stdin", "keepNewline", "keepAnsi"] {
        assert!(schema["properties"][name].is_object(), "{name}");
    }
}

/// Only what a call can use is listed. What is not listed is accepted or refused as before.
#[tokio::test]
async fn tools_list_what_the_operator_allows_and_the_answers_need() {
    let listed = async |options: &[&str]| {
        let tools = tools(options).await;
        let has_schema = tools
            .iter()
            .map(|tool| tool["outputSchema"].is_object())
            .collect::<Vec<_>>();
        let properties = tools[0]["inputSchema"]["properties"]
            .as_object()
            .expect("it is an object");
        let names: Vec<String> = properties.keys().cloned().collect();
        (names, has_schema)
    };
    let (names, has_schema) = listed(&[]).await;
    assert_eq!(has_schema, [true, true]);
    assert!(
        !names.iter().any(|name| name == "privileged" || name == "groupAdd"),
        "{names:?}"
    );
    let (names, _) = listed(&["--allow-privileged", "--allow-group-add"]).await;
    assert!(names.contains(&"privileged".to_owned()) && names.contains(&"groupAdd".to_owned()));
    let (mut names, has_schema) = listed(&["--answers", "text"]).await;
    names.sort();
    assert_eq!(
        names,
        [
            "command",
            "container",
            "env",
            "limit",
            "stdin",
            "timeout",
            "user",
            "workdir"
        ]
    );
    assert_eq!(has_schema, [false, false]);
}

#[tokio::test]
async fn schemas_use_only_keywords_that_clients_accept() {
    fn walk(value: &Value, at: &str) {
        match value {
            Value::Object(object) => {
                for word in [
                    "format",
                    "$ref",
                    "$defs",
                    "definitions",
                    "anyOf",
                    "oneOf",
                    "allOf",
                    "nullable",
                ] {
                    assert!(!object.contains_key(word), "{at}: {word}");
                }
                if let Some(kind) = object.get("type") {
                    // A property may be called `type`.
                    assert!(kind.is_string() || kind.is_object(), "{at}: {kind}");
                }
                for (name, value) in object {
                    walk(value, &format!("{at}/{name}"));
                }
            }
            Value::Array(values) => values.iter().for_each(|value| walk(value, at)),
            _ => {}
        }
    }
    for tool in tools(&[]).await {
        for part in ["inputSchema", "outputSchema"] {
            let schema = &tool[part];
            walk(schema, part);
            assert_eq!(schema["type"], "object");
            assert!(jsonschema::meta::is_valid(schema), "{schema}");
        }
    }
}

#[tokio::test]
async fn tools_show_the_defaults_set_by_the_operator() {
    let tools = tools(&[
        "--default-compact",
        "true",
        "--default-timeout",
        "2m",
        "--default-limit",
        "77",
    ])
    .await;
    let properties = &tools[0]["inputSchema"]["properties"];
    assert_eq!(properties["compact"]["default"], true);
    assert_eq!(properties["timeout"]["default"], 120_000);
    let description = tools[0]["description"].as_str().expect("it is described");
    assert!(
        description.contains("2m by default") && description.contains("77 characters"),
        "{description}"
    );
}

#[tokio::test]
async fn tools_are_listed_without_an_engine_and_calls_report_it() {
    let mut server = server([] as [&str; 0]);
    server.env("DOCKER_HOST", "unix:///nonexistent/engine.sock");
    let client = Client::of(server).await;
    let answer = client.exec(json!({ "container": "web", "command": ["true"] })).await;
    assert!(answer.is_error);
    assert_eq!(answer.structure["errorKind"], "engineUnreachable");
    assert!(answer.text.contains("engineUnreachable: "), "{}", answer.text);
    let remedy = "Start the engine, or start dexec-mcp with its address";
    assert!(answer.text.contains(remedy), "{}", answer.text);
    let answer = client.call("containers", json!({})).await;
    assert!(answer.is_error);
    assert!(answer.text.contains(remedy), "{}", answer.text);
    assert_eq!(answer.structure["errorKind"], "engineUnreachable");
    // The schema limits characters, and this argument has more bytes than that.
    let large = "€".repeat(65_536);
    let answer = client
        .exec(json!({ "container": "web", "command": ["echo", large] }))
        .await;
    assert!(answer.text.contains("Send large data in `stdin`"), "{}", answer.text);
}

#[tokio::test]
async fn unknown_tool_is_a_protocol_error() {
    let client = Client::start(&[]).await;
    let params = rmcp::model::CallToolRequestParams::new("exek");
    let error = client
        .service
        .call_tool(params)
        .await
        .expect_err("there is no such tool");
    assert!(error.to_string().contains("unknown tool `exek`"), "{error}");
}
