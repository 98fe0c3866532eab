//! What is made from a program's options: shell completions and the manual page of a release, and a page of the docs.
//!
//! A test makes them, because it can use the program's command line and adds nothing to the program.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use clap::builder::PossibleValue;
use clap::{Arg, Command};
use clap_complete::{Shell, generate_to};

/// Writes them below `DEXEC_MANUAL`, which `script/release` sets, or to a temporary directory, only to check them.
pub fn write(mut command: Command) {
    let temporary = tempfile::tempdir().expect("a directory can be made");
    let directory = std::env::var_os("DEXEC_MANUAL");
    let directory = directory.as_deref().map_or(temporary.path(), Path::new);
    let name = command.get_name().to_owned();

    let completions = directory.join("completions");
    fs::create_dir_all(&completions).expect("a directory can be made");
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let file = generate_to(shell, &mut command, &name, &completions).expect("it can be written");
        assert_describes(&file);
    }

    let pages = directory.join("man");
    fs::create_dir_all(&pages).expect("a directory can be made");
    let page = pages.join(format!("{name}.1"));
    let mut text = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut text)
        .expect("it can be made");
    fs::write(&page, text).expect("it can be written");
    assert_describes(&page);
}

fn assert_describes(file: &Path) {
    let text = fs::read_to_string(file).expect("it was written");
    assert!(
        text.contains("tlsverify"),
        "{} does not describe the options",
        file.display()
    );
}

/// Compares the page of the docs that lists the options with what it is made from, the program's own command line. With
/// `DEXEC_WRITE_DOCS=1` writes it.
pub fn compare_options_page(command: Command, page: &Path) {
    let made = options_page(command);
    if std::env::var_os("DEXEC_WRITE_DOCS").is_some_and(|value| value == "1") {
        fs::write(page, &made).expect("it can be written");
    }
    let there = fs::read_to_string(page).unwrap_or_default();
    assert!(
        there == made,
        "{} is not what the options say: run the test with DEXEC_WRITE_DOCS=1",
        page.display()
    );
}

fn options_page(mut command: Command) -> String {
    command.build();
    let name = command.get_name();
    let usage = command.clone().render_usage().to_string();
    let mut lines = vec![
        format!("# Options of `{name}`\n"),
        format!("This page is made from `{name} --help`.\n"),
        format!("```\n{}\n```", usage.trim_start_matches("Usage: ")),
    ];
    let options: Vec<&Arg> = command.get_arguments().filter(|arg| !arg.is_positional()).collect();
    let mut headings: Vec<&str> = options.iter().map(|option| heading(option)).collect();
    let mut seen = HashSet::new();
    headings.retain(|heading| seen.insert(*heading));
    for wanted in headings {
        lines.push(format!("\n## {wanted}\n"));
        let options = options.iter().filter(|option| heading(option) == wanted);
        lines.extend(options.map(|option| format!("- `{}`: {}", shown(option), meaning(option))));
    }
    lines.join("\n") + "\n"
}

fn heading(option: &Arg) -> &str {
    option.get_help_heading().unwrap_or("Options")
}

/// `-e, --env <NAME=VALUE>`.
fn shown(option: &Arg) -> String {
    let short = option.get_short().map(|short| format!("-{short}"));
    let long = option.get_long().map(|long| format!("--{long}"));
    let names: Vec<String> = short.into_iter().chain(long).collect();
    let value = match option.get_value_names() {
        // A switch that may be given as `=false` is shown without a value, as in the help.
        Some([name]) if requires_value(option) => format!(" <{name}>"),
        _ => String::new(),
    };
    names.join(", ") + &value
}

fn requires_value(option: &Arg) -> bool {
    option.get_num_args().is_some_and(|count| count.min_values() > 0)
}

/// The help, the possible values and the default.
fn meaning(option: &Arg) -> String {
    let values = option.get_possible_values();
    let mut parts = vec![help(option)];
    if requires_value(option) && !values.is_empty() {
        let value = |value: &PossibleValue| match value.get_help() {
            Some(help) => format!(" `{}` ({help})", value.get_name()),
            None => format!(" `{}`", value.get_name()),
        };
        let values: Vec<String> = values.iter().map(value).collect();
        parts.push(format!("Values:{}.", values.join(",")));
    }
    if let [default] = option.get_default_values()
        && requires_value(option)
    {
        parts.push(format!("Default: `{}`.", default.display()));
    }
    parts.join(" ")
}

/// The long help. Where it says again, in full, what its first paragraph says for `-h`, without that paragraph.
fn help(option: &Arg) -> String {
    let help = option.get_long_help().or(option.get_help());
    let help = help.map(ToString::to_string).unwrap_or_default();
    let first_word = |text: &str| text.split_whitespace().next().map(str::to_owned);
    let full = match help.split_once("\n\n") {
        Some((short, full)) if first_word(short) == first_word(full) => full,
        _ => &help,
    };
    let paragraphs = full.split("\n\n").map(|paragraph| paragraph.trim_end_matches('.'));
    paragraphs
        .map(|paragraph| format!("{paragraph}."))
        .collect::<Vec<_>>()
        .join(" ")
}
