//! docker's `config.json` and a context's `meta.json`: whatever stands in them, there is an endpoint or one clear error.
#![no_main]

use std::fs;
use std::path::Path;

use dexec::{Address, Endpoint, EndpointOptions, Error, ErrorKind, Origin};
use dexec_fuzz::choices;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use tempfile::TempDir;

const NAME: &str = "test";

/// Where docker keeps the context of this name.
const META: &str = "contexts/meta/9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

thread_local! {
    static DIRECTORY: TempDir = {
        let shared = Path::new("/dev/shm");
        let directory = if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() };
        let directory = directory.expect("a directory can be made");
        fs::create_dir_all(directory.path().join(META)).expect("it can be made");
        directory
    };
}

/// What is found with these contents of both files.
fn find(config: &[u8], meta: &[u8], context: Option<&str>) -> Result<Endpoint, Error> {
    DIRECTORY.with(|directory| {
        let directory = directory.path();
        fs::write(directory.join("config.json"), config).expect("it can be written");
        fs::write(directory.join(META).join("meta.json"), meta).expect("it can be written");
        let mut options = EndpointOptions::default();
        options.context = context.map(str::to_owned);
        options.config_dir = Some(directory.to_owned());
        Endpoint::from_options(&options)
    })
}

/// In the case that `choice` says.
fn cased(name: &str, choice: u8) -> String {
    match choice % 3 {
        0 => name.to_owned(),
        1 => name.to_uppercase(),
        _ => name.to_lowercase(),
    }
}

fn check_error(error: &Error) {
    assert!(
        matches!(error.kind(), ErrorKind::InvalidRequest | ErrorKind::Tls),
        "{error:?}"
    );
    for text in [error.to_string(), error.docker_text().to_owned()] {
        assert!(!text.contains(char::is_control), "{text:?}");
    }
}

fn check_meta(meta: &[u8]) {
    match find(b"{}", meta, Some(NAME)) {
        Ok(endpoint) => {
            let expected = Origin::Context {
                name: NAME.to_owned(),
                chosen: "as given",
            };
            assert_eq!(endpoint.origin(), &expected);
            assert!(endpoint.places().is_empty() && endpoint.warnings().is_empty());
            assert!(endpoint.tls().is_none() || matches!(endpoint.address(), Address::Tcp { .. }));
        }
        Err(error) => {
            check_error(&error);
            // What docker writes can't be at fault but by its values.
            assert!(error.to_string().contains(NAME), "{error}");
        }
    }
}

/// A context is where its host says, in whatever case its keys are and whatever stands beside them.
fn check_host(cases: [u8; 3], host: &str) {
    let docker = json!({
        cased("Host", cases[0]): host,
        cased("SkipTLSVerify", cases[1]): cases[1] % 2 == 0,
        "Other": [{}],
    });
    let meta = json!({"Name": NAME, "Metadata": {}, cased("Endpoints", cases[2]): {"docker": docker, "other": 5}});
    let found = find(b"", meta.to_string().as_bytes(), Some(NAME));
    match (found, Endpoint::parse(host)) {
        (Ok(found), Ok(expected)) => {
            assert_eq!(found.address(), expected.address());
            let is_tcp = matches!(found.address(), Address::Tcp { .. });
            assert_eq!(found.tls().is_some(), is_tcp && cases[1] % 2 == 0);
        }
        (Err(error), Err(_)) => check_error(&error),
        (found, expected) => panic!("{host:?}: {found:?}, and {expected:?}"),
    }
}

fn check_config(config: &[u8]) {
    let meta = br#"{"Endpoints":{"docker":{"Host":"ssh://box"}}}"#;
    let endpoint = match find(config, meta, None) {
        Ok(endpoint) => endpoint,
        Err(error) => return check_error(&error),
    };
    let warnings = endpoint.warnings();
    assert!(
        warnings.len() <= 1 && !warnings.iter().any(|warning| warning.contains(char::is_control)),
        "{warnings:?}"
    );
    let is_context = matches!(endpoint.origin(), Origin::Context { name, .. } if name == NAME);
    assert_eq!(is_context, matches!(endpoint.address(), Address::Ssh { .. }));
    // Where every key is written once, another parser sees the same.
    if let Ok(Value::Object(members)) = serde_json::from_slice(config) {
        let mut contexts = members
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case("currentContext"));
        let is_once = String::from_utf8_lossy(config).matches(':').count() == members.len();
        if let (Some((_, context)), None, true) = (contexts.next(), contexts.next(), is_once) {
            assert_eq!(context == NAME, is_context);
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let ([kind, first, second, third], rest) = choices(input);
    match kind % 3 {
        0 => check_meta(rest),
        1 => check_config(rest),
        _ => check_host([first, second, third], &String::from_utf8_lossy(rest)),
    }
});
