//! The console examples of the README and the docs produce the output that they show.

use std::fs;
use std::path::Path;

use serde_json::Value;

use test_support::api;
use test_support::program;

/// One command of a page, and the output that the page shows.
struct Example {
    place: String,
    command: String,
    shown: String,
}

/// The examples of a page that show output of dexec.
fn examples(page: &Path) -> Vec<Example> {
    let text = fs::read_to_string(page).expect("it can be read");
    let mut examples: Vec<Example> = Vec::new();
    let mut is_console = false;
    for (number, line) in text.lines().enumerate() {
        if let Some(language) = line.strip_prefix("```") {
            is_console = language == "console";
        } else if let (true, Some(command)) = (is_console, line.strip_prefix("$ ")) {
            examples.push(Example {
                place: format!("{}:{}", page.display(), number + 1),
                command: command.to_owned(),
                shown: String::new(),
            });
        } else if let (true, Some(example)) = (is_console && !line.is_empty(), examples.last_mut()) {
            example.shown += line;
            example.shown += "\n";
        }
    }
    let words = |command: &str| command.split([' ', '|']).any(|word| word == "dexec");
    examples.retain(|example| words(&example.command) && !example.shown.is_empty());
    examples
}

impl Example {
    /// Runs the example in a test container. Output that differs between engines is not compared.
    fn check(&self, path: &str) {
        let command = self.command.replace(" web ", " dexec-shell ");
        let run = program("sh").args(["-c", &command]).env("PATH", path);
        let done = run.env("DOCKER_CONFIG", "/nonexistent/docker").run();
        let given = done.stdout_text();
        let context = format!("{}: {command}\ngiven: {given}{}", self.place, done.stderr_text());
        let json = |text: &str| serde_json::from_str::<Value>(text).ok();
        if self.command.ends_with(" --info") {
            let labels = |text: &str| -> Vec<String> { text.lines().map(|line| line[..12].to_owned()).collect() };
            assert_eq!(labels(&given), labels(&self.shown), "{context}");
        } else if let Some(kind) = json(&self.shown).and_then(|shown| shown.get("errorKind").cloned()) {
            let given = json(&given).expect("it is a response");
            assert_eq!(given["errorKind"], kind, "{context}");
            assert_eq!(given["success"], false, "{context}");
        } else if self.shown.contains('…') {
            // The page omits part of the output.
            let mut rest = given.as_str();
            for part in self.shown.split('…') {
                let found = rest.find(part.trim_end_matches('\n'));
                let found = found.unwrap_or_else(|| panic!("`{part}` is not there, {context}"));
                rest = &rest[found..];
            }
        } else if api::is_podman() && !given.contains("groups=1000(app),") {
            // Older Podman versions list the user's own group only if the user has no other groups.
            assert_eq!(given, self.shown.replace("groups=1000(app),", "groups="), "{context}");
        } else {
            assert_eq!(given, self.shown, "{context}");
        }
    }
}

#[test]
fn documented_examples_print_the_shown_output() {
    let bin = tempfile::tempdir().expect("a directory can be made");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_dexec"), bin.path().join("dexec")).expect("it can be linked");
    let path = format!("{}:/usr/bin:/bin", bin.path().display());
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![root.join("README.md")];
    let docs = fs::read_dir(root.join("docs")).expect("it is there");
    pages.extend(docs.map(|page| page.expect("it can be listed").path()));
    let examples: Vec<Example> = pages.iter().flat_map(|page| examples(page)).collect();
    assert!(examples.len() >= 10, "only {} are found", examples.len());
    for example in examples {
        example.check(&path);
    }
}
