#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use super::*;
use clap::CommandFactory as _;

mod library;

fn parse(line: &str) -> Result<Args, Stop> {
    let words: Vec<&str> = if line.is_empty() {
        Vec::new()
    } else {
        line.split(' ').collect()
    };
    parse_words(&words)
}

fn parse_words(words: &[&str]) -> Result<Args, Stop> {
    match action(words)? {
        Action::Run(args) => Ok(*args),
        Action::Info { .. } => panic!("{words:?} asks for information"),
    }
}

fn action(words: &[&str]) -> Result<Action, Stop> {
    let line = std::iter::once("dexec").chain(words.iter().copied());
    Action::from_command_line(line.map(OsString::from))
}

/// The parsed options as one line to compare, and the arguments after them.
fn taken(line: &str) -> (String, Vec<String>) {
    let args = parse(line).unwrap_or_else(|stop| panic!("{line}: {}", stop.text));
    let Cli {
        interactive,
        tty,
        detach,
        privileged,
        env,
        user,
        workdir,
        ..
    } = &args.cli;
    let mut options: Vec<String> = [
        (*interactive, "i"),
        (*tty, "t"),
        (*detach, "d"),
        (*privileged, "privileged"),
    ]
    .into_iter()
    .filter(|(is_set, _)| *is_set)
    .map(|(_, name)| name.to_owned())
    .collect();
    options.extend(env.iter().map(|entry| format!("e:{}", entry.to_str().unwrap())));
    options.extend(user.iter().map(|user| format!("u:{}", user.to_str().unwrap())));
    options.extend(workdir.iter().map(|workdir| format!("w:{}", workdir.to_str().unwrap())));
    let words = std::iter::once(&args.container)
        .chain(&args.command)
        .map(|word| word.to_str().unwrap().to_owned());
    (options.join(" "), words.collect())
}

#[test]
fn command_lines_are_parsed_as_docker_parses_them() {
    for (line, options, words) in [
        ("web true", "", "web true"),
        ("-i web cat", "i", "web cat"),
        ("-it=false web sh", "i", "web sh"),
        ("-i=false web sh", "", "web sh"),
        ("-i=0 --detach=T web sh", "d", "web sh"),
        ("--interactive --privileged web sh", "i privileged", "web sh"),
        ("-di web sh", "i d", "web sh"),
        ("-i -i=false web sh", "", "web sh"),
        ("-ie K=V web env", "i e:K=V", "web env"),
        ("-e -x web env", "e:-x", "web env"),
        ("-e --env web env", "e:--env", "web env"),
        ("-eK=V web env", "e:K=V", "web env"),
        ("-e=K=V web env", "e:K=V", "web env"),
        ("--env K=V web env", "e:K=V", "web env"),
        ("--env=K=V web env", "e:K=V", "web env"),
        ("-e A=1 -e B -e A=2 web env", "e:A=1 e:B e:A=2", "web env"),
        ("-uroot web id", "u:root", "web id"),
        ("-diu root web id", "i d u:root", "web id"),
        ("-u a -u b web id", "u:b", "web id"),
        ("-u -1 web id", "u:-1", "web id"),
        ("-w /a -w /b web pwd", "w:/b", "web pwd"),
        // `-i` does not take the next argument as its value.
        ("-i false web sh", "i", "false web sh"),
        // Everything after the container belongs to the command.
        ("web echo -i --help", "", "web echo -i --help"),
        ("-i web sh -t", "i", "web sh -t"),
        ("web -it sh", "", "web -it sh"),
        ("web --help x", "", "web --help x"),
        // `--` ends the options; a `--` directly after the container is skipped.
        ("-- web echo hi", "", "web echo hi"),
        ("web -- echo hi", "", "web echo hi"),
        ("-- web -- echo hi", "", "web echo hi"),
        ("web -- -- hi", "", "web -- hi"),
        ("web echo -- hi", "", "web echo -- hi"),
    ] {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        assert_eq!(taken(line), (options.to_owned(), words), "{line}");
    }
    assert_eq!(parse_words(&["-e", "", "web", "true"]).unwrap_err().code, 125);
    assert_eq!(taken("web echo ").1, ["web", "echo", ""]);
}

#[test]
fn invalid_options_are_reported_in_the_words_of_docker() {
    for (line, message) in [
        ("--nope web sh", "unknown flag: --nope"),
        ("--nope=1 web sh", "unknown flag: --nope"),
        ("--use root web sh", "unknown flag: --use"),
        ("-Z web sh", "unknown shorthand flag: 'Z' in -Z"),
        ("-iZd web sh", "unknown shorthand flag: 'Z' in -Z"),
        ("-eTOKEN=Zecret -Z web sh", "unknown shorthand flag: 'Z' in -Z"),
        ("-i0 web sh", "unknown shorthand flag: '0' in -0"),
        ("--env", "flag needs an argument: --env"),
        ("-e", "flag needs an argument: 'e' in -e"),
        ("-ie", "flag needs an argument: 'e' in -e"),
        ("--output= web echo secret", "flag needs an argument: --output"),
        (
            "-i=maybe web sh",
            "invalid argument \"maybe\" for \"-i, --interactive\" flag: strconv.ParseBool: parsing \"maybe\": invalid \
             syntax",
        ),
        (
            "--tty= web sh",
            "invalid argument \"\" for \"-t, --tty\" flag: strconv.ParseBool: parsing \"\": invalid syntax",
        ),
        (
            "--privileged=yes web sh",
            "invalid argument \"yes\" for \"--privileged\" flag: strconv.ParseBool: parsing \"yes\": invalid syntax",
        ),
        (
            "--tls=maybe web sh",
            "invalid argument \"maybe\" for \"--tls\" flag: strconv.ParseBool: parsing \"maybe\": invalid syntax",
        ),
        ("-c", "flag needs an argument: 'c' in -c"),
        ("--tlscacert", "flag needs an argument: --tlscacert"),
        (
            "--connect-timeout 0 web sh",
            "invalid argument \"0\" for \"--connect-timeout\" flag: the time limit must be greater than zero: write 90, 1.5, 90s or \
             2m 30s",
        ),
        ("--info web", "--info takes no CONTAINER and no COMMAND"),
        (
            "-e =x web sh",
            "invalid argument for \"-e, --env\" flag: an environment variable has no name before its `=`",
        ),
        (
            "--limit -1 web sh",
            "invalid argument \"-1\" for \"--limit\" flag: invalid digit found in string",
        ),
        (
            "--output xml web sh",
            "invalid argument \"xml\" for \"--output\" flag: must be one of json, raw, events",
        ),
        ("--raw --output json web sh", "conflicting options: --raw and --output"),
        ("--raw --limit 5 web sh", "--limit requires --output json"),
        ("--raw --compact web sh", "--compact requires --output json"),
        (
            "--output events --parse-json web sh",
            "--parse-json requires --output json",
        ),
    ] {
        let stop = parse(line).map(|_| ()).unwrap_err();
        assert_eq!(stop.code, 125, "{line}");
        let usage =
            "\n\nUsage:  dexec [OPTIONS] CONTAINER COMMAND [ARG...]\n\nRun 'dexec --help' for more information\n";
        assert_eq!(stop.text, format!("{message}{usage}"), "{line}");
    }
}

#[test]
fn too_few_arguments_exit_with_1() {
    for line in ["", "web", "-i web", "-- web", "web --", "-e A=1"] {
        let stop = parse(line).map(|_| ()).unwrap_err();
        assert_eq!(stop.code, 1, "{line}");
        assert!(
            stop.text.starts_with("dexec: 'dexec' requires at least 2 arguments\n"),
            "{line}"
        );
    }
}

/// The endpoint's options as one line to compare.
fn endpoint(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').chain(["--info"]).collect();
    let Ok(Action::Info { endpoint, .. }) = action(&words) else {
        panic!("{line:?} is taken for something else");
    };
    match crate::endpoint::options(endpoint) {
        Ok(options) => {
            let dexec::EndpointOptions {
                host,
                context,
                config_dir,
                tls,
                tls_verify,
                tls_ca_cert,
                tls_cert,
                tls_key,
                connect_timeout,
                ..
            } = options;
            format!(
                "{host:?} {context:?} {config_dir:?} {tls:?} {tls_verify:?} {tls_ca_cert:?} {tls_cert:?} {tls_key:?} \
                 {connect_timeout:?}"
            )
            .replace("None", "-")
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn docker_options_for_the_endpoint_are_accepted() {
    for (line, options) in [
        ("-H tcp://a", r#"Some("tcp://a") - - - - - - - -"#),
        ("--host= -i", r#"Some("") - - - - - - - -"#),
        ("-H a -H b", "specify only one -H"),
        ("-c a -c b", r#"- Some("b") - - - - - - -"#),
        ("--context=a --config /b", r#"- Some("a") Some("/b") - - - - - -"#),
        ("--tls --tlsverify=0", "- - - Some(true) Some(false) - - - -"),
        ("--tls=false --tls --tlsverify", "- - - Some(true) Some(true) - - - -"),
        (
            "--tlscacert 'a' --tlscert \"b\" --tlskey 'c\"",
            r#"- - - - - Some("a") Some("b") Some("'c\"") -"#,
        ),
        ("--connect-timeout 1.5", "- - - - - - - - Some(1.5s)"),
    ] {
        assert_eq!(endpoint(line), options, "{line}");
    }
}

#[test]
fn help_exits_with_0() {
    for line in ["--help", "-h", "--version", "-i --help web sh"] {
        assert_eq!(parse(line).map(|_| ()).unwrap_err().code, 0, "{line}");
    }
}

#[test]
fn bare_env_name_takes_the_local_value() {
    let path = std::env::var("PATH").unwrap();
    let args = parse("-e PATH -e DEXEC_NOT_SET web env").unwrap();
    let (request, _) = args.into_request().unwrap();
    let shown = format!("{request:?}");
    assert!(shown.contains("env: 2") && !shown.contains(&path), "{shown}");
}

#[test]
fn manual_page_is_generated() {
    test_support::manual::write(Cli::command());
}

#[test]
fn options_page_matches_the_options() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/options.md");
    test_support::manual::compare_options_page(Cli::command(), &page);
}
