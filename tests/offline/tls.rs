//! TLS: which servers dexec trusts, which certificate it sends, and what it reports when the connection fails.

use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::thread;

use rcgen::{
    ExtendedKeyUsagePurpose, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA256,
    PKCS_ECDSA_P521_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_ED25519, PKCS_RSA_SHA256,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::dexec;
use crate::fake::{Fake, Script, frame, json as json_answer, stream};
use crate::tls_server::{Identity, Server, TLS_1_2, TLS_1_3, expired, files, new_key, only_for};
use test_support::{Run, assert_response};

const VERIFY: &str = "DOCKER_TLS_VERIFY";

#[track_caller]
fn assert_answered(run: Run) {
    assert_response(
        &run.response(),
        json!({ "exitCode": 0, "stdout": "x", "stderr": "", "success": true }),
    );
}

/// Asserts that the connection fails for this reason.
#[track_caller]
fn assert_refused(run: Run, words: &str) -> Value {
    let response = run.response();
    assert_eq!(
        (&response["exitCode"], &response["errorKind"]),
        (&1.into(), &"tls".into()),
        "{response}"
    );
    let message = response["message"].as_str().expect("there is a message");
    assert!(message.contains(words) && message.lines().count() <= 2, "{message}");
    response
}

fn plain(_: &mut rcgen::CertificateParams) {}

#[test]
fn server_signed_by_the_given_ca_is_trusted() {
    let ca = Identity::authority("ca", &[]);
    let server = Server::start(&ca.issue(plain));
    assert_answered(server.run(VERIFY, &files(&ca, None)));
    assert_eq!(server.engine.requests().len(), 3, "{:?}", server.engine.requests());
    assert!(server.engine.connections() <= 2);
    // A certificate for an IP address.
    let server = Server::start(&ca.issue(|params| params.subject_alt_names = vec![address("127.0.0.1")]));
    assert_answered(server.run_as("127.0.0.1", VERIFY, &files(&ca, None)));
}

fn address(address: &str) -> rcgen::SanType {
    rcgen::SanType::IpAddress(address.parse().expect("it is an address"))
}

#[test]
fn server_signed_by_another_ca_is_refused() {
    let (ca, other) = (Identity::authority("ca", &[]), Identity::authority("other", &[]));
    let server = Server::start(&other.issue(plain));
    assert_refused(server.run(VERIFY, &files(&ca, None)), "is not signed by the CA in");
    // Another CA with the same name is not trusted.
    let namesake = Server::start(&Identity::authority("ca", &[]).issue(plain));
    assert_refused(namesake.run(VERIFY, &files(&ca, None)), "is not signed by the CA in");
    assert_eq!(server.engine.connections() + namesake.engine.connections(), 0);
}

#[test]
fn disabled_verification_accepts_every_server() {
    let (ca, other) = (Identity::authority("ca", &[]), Identity::authority("other", &[]));
    let server = Server::start(&other.issue(expired));
    assert_answered(server.run_as("127.0.0.1", "DOCKER_TLS", &files(&ca, None)));
}

#[test]
fn invalid_server_certificate_is_refused() {
    let ca = Identity::authority("ca", &[]);
    let future = |params: &mut rcgen::CertificateParams| params.not_before = rcgen::date_time_ymd(4000, 1, 1);
    for (certificate, words) in [
        (ca.issue(expired), "has expired: renew it"),
        (ca.issue(future), "is not valid yet"),
        (
            ca.issue(only_for(ExtendedKeyUsagePurpose::ClientAuth)),
            "is not for servers",
        ),
        (ca.issue(|params| params.subject_alt_names.clear()), "has no names"),
    ] {
        assert_refused(Server::start(&certificate).run(VERIFY, &files(&ca, None)), words);
    }
    let server = Server::start(&ca.issue(plain));
    let response = assert_refused(
        server.run_as("127.0.0.1", VERIFY, &files(&ca, None)),
        "not for `127.0.0.1`",
    );
    assert!(response.to_string().contains("localhost"), "{response}");
}

#[test]
fn self_signed_certificate_is_trusted_if_it_is_the_given_ca() {
    let own = Identity::authority("own", &["localhost"]);
    let server = Server::start(&own);
    assert_answered(server.run(VERIFY, &files(&own, None)));
    assert_refused(
        server.run_as("127.0.0.1", VERIFY, &files(&own, None)),
        "not for `127.0.0.1`",
    );
    // Another certificate with the same name is not trusted.
    let namesake = Identity::authority("own", &["localhost"]);
    assert_refused(
        server.run(VERIFY, &files(&namesake, None)),
        "ca.pem contains the same certificate",
    );

    // It does not need to be a CA certificate.
    let own = Identity::self_signed("own", &["localhost"], plain);
    assert_answered(Server::start(&own).run(VERIFY, &files(&own, None)));

    for (change, words) in [
        (Box::new(expired) as Box<dyn FnOnce(&mut _)>, "has expired"),
        (
            Box::new(only_for(ExtendedKeyUsagePurpose::ClientAuth)),
            "is not for servers",
        ),
    ] {
        let own = Identity::self_signed("own", &["localhost"], change);
        assert_refused(Server::start(&own).run(VERIFY, &files(&own, None)), words);
    }
    // A server that has the certificate's name but another key is not trusted.
    let other_key = Identity::self_signed("own", &["localhost"], plain);
    assert_refused(
        Server::start(&other_key).run(VERIFY, &files(&own, None)),
        "is not signed by the CA in",
    );
}

#[test]
fn every_key_type_is_accepted_on_both_sides() {
    let ca = Identity::authority("ca", &[]);
    for algorithm in [
        &PKCS_RSA_SHA256,
        &PKCS_ECDSA_P256_SHA256,
        &PKCS_ECDSA_P384_SHA384,
        &PKCS_ECDSA_P521_SHA512,
        &PKCS_ED25519,
    ] {
        let of_server = ca.issue_for(new_key(algorithm), plain);
        let of_client = ca.issue_for(new_key(algorithm), plain);
        for versions in [TLS_1_2, TLS_1_3] {
            let server = Server::start_with(&of_server, Some(&ca), versions);
            assert_answered(server.run(VERIFY, &files(&ca, Some(&of_client))));
        }
    }
}

#[test]
fn ca_with_every_key_type_is_trusted() {
    for algorithm in [
        &PKCS_RSA_SHA256,
        &PKCS_ECDSA_P256_SHA256,
        &PKCS_ECDSA_P384_SHA384,
        &PKCS_ECDSA_P521_SHA256,
        &PKCS_ECDSA_P521_SHA384,
        &PKCS_ECDSA_P521_SHA512,
        &PKCS_ED25519,
    ] {
        let ca = Identity::authority_for(new_key(algorithm), "ca", &[]);
        assert_answered(Server::start(&ca.issue(plain)).run(VERIFY, &files(&ca, None)));
        let namesake = Identity::authority_for(new_key(algorithm), "ca", &[]);
        let server = Server::start(&namesake.issue(plain));
        assert_refused(server.run(VERIFY, &files(&ca, None)), "is not signed by the CA in");
    }
}

/// The output of openssl for a key.
fn openssl(key: &KeyPair, args: &[&str]) -> String {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let file = directory.path().join("key");
    fs::write(&file, key.serialize_pem()).expect("it can be written");
    let done = Command::new("openssl").args(args).arg("-in").arg(file).output();
    let done = done.expect("openssl can be run");
    assert!(
        done.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8(done.stdout).expect("it is text")
}

#[test]
fn every_key_format_is_read_except_encrypted_keys() {
    let ca = Identity::authority("ca", &[]);
    let of_server = ca.issue(plain);
    let server = || Server::start_with(&of_server, Some(&ca), TLS_1_3);
    let encrypted = ["-aes256", "-passout", "pass:secret"];
    for (algorithm, form) in [
        (&PKCS_RSA_SHA256, "RSA PRIVATE KEY"),
        (&PKCS_ECDSA_P256_SHA256, "EC PRIVATE KEY"),
        (&PKCS_ECDSA_P521_SHA512, "EC PRIVATE KEY"),
    ] {
        let client = ca.issue_for(new_key(algorithm), plain);
        let files = files(&ca, Some(&client));
        let write = |text: &str| fs::write(files.path().join("key.pem"), text).expect("it can be written");
        let traditional = openssl(&client.key, &["pkey", "-traditional"]);
        assert!(traditional.starts_with(&format!("-----BEGIN {form}-----")), "{form}");
        write(&traditional);
        assert_answered(server().run(VERIFY, &files));
        // `openssl ecparam -genkey` writes these parameters before a key.
        write(&format!(
            "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{traditional}"
        ));
        assert_answered(server().run(VERIFY, &files));
        for args in [&["pkey"][..], &["pkey", "-traditional"]] {
            write(&openssl(&client.key, &[args, &encrypted].concat()));
            assert_refused(server().run(VERIFY, &files), "is encrypted");
        }
    }
}

#[test]
fn errors_name_unusable_files_but_do_not_show_them() {
    let ca = Identity::authority("ca", &[]);
    let client = ca.issue(plain);
    let server = Server::start_with(&ca.issue(plain), Some(&ca), TLS_1_3);
    let with = |name: &str, text: &str| -> TempDir {
        let files = files(&ca, Some(&client));
        fs::write(files.path().join(name), text).expect("it can be written");
        files
    };
    let begun = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0IHNlY3JldA==\n";
    let broken = format!("{begun}-----END PRIVATE KEY-----\n");
    for (name, text, words) in [
        ("ca.pem", "", "ca.pem contains no certificate in PEM"),
        ("cert.pem", "nothing", "cert.pem contains no certificate in PEM"),
        ("key.pem", "nothing", "key.pem contains no private key in PEM"),
        ("key.pem", begun, "key.pem contains no private key in PEM"),
        ("key.pem", &broken, "key.pem can't be used"),
        ("key.pem", &ca.key.serialize_pem(), "does not match the certificate in"),
    ] {
        let response = assert_refused(server.run(VERIFY, &with(name, text)), words);
        let shown = response.to_string();
        assert!(!shown.contains("secret") && !shown.contains("c2Vjc"), "{shown}");
    }
    assert_eq!(server.engine.connections(), 0);
}

#[test]
fn missing_or_refused_client_certificate_is_reported() {
    let (ca, other) = (Identity::authority("ca", &[]), Identity::authority("other", &[]));
    let of_server = ca.issue(plain);
    for versions in [TLS_1_2, TLS_1_3] {
        let server = Server::start_with(&of_server, Some(&ca), versions);
        assert_refused(
            server.run(VERIFY, &files(&ca, None)),
            "it requires a client certificate, and none is configured. Specify a client certificate and its key with --tlscert and --tlskey",
        );
        let stranger = other.issue(plain);
        assert_refused(
            server.run(VERIFY, &files(&ca, Some(&stranger))),
            "it refuses the client certificate in",
        );
        let late = ca.issue(expired);
        assert_refused(server.run(VERIFY, &files(&ca, Some(&late))), "has expired");
        assert_eq!(server.engine.connections(), 0);
    }
}

#[test]
fn port_without_tls_is_reported() {
    let ca = Identity::authority("ca", &[]);
    for (answer, words) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "the port does not use TLS"),
        (b"", "it closed the connection during the TLS handshake"),
    ] {
        let listener = TcpListener::bind("localhost:0").expect("it can be listened to");
        let host = format!("tcp://{}", listener.local_addr().expect("it has an address"));
        thread::spawn(move || {
            use std::io::{Read as _, Write as _};
            let (mut client, _) = listener.accept().expect("it can be accepted");
            let _ = client.read(&mut [0; 4096]);
            let _ = client.write_all(answer);
        });
        let run = dexec(["-H", &host, "web", "true"]).env(VERIFY, "1");
        assert_refused(run.env("DOCKER_CERT_PATH", files(&ca, None).path()), words);
    }
}

#[test]
fn tls_hint_in_the_response_of_a_go_server_is_reported() {
    let go_s_answer = crate::fake::json("400 Bad Request", "Client sent an HTTP request to an HTTPS server.\n");
    let fake = Fake::start(Script {
        create: go_s_answer.into(),
        ..Script::default()
    });
    assert_refused(dexec(["-H", &fake.host, "web", "true"]), "set DOCKER_TLS_VERIFY=1");
}

#[test]
fn plain_connection_to_a_tls_port_is_reported() {
    let ca = Identity::authority("ca", &[]);
    for versions in [TLS_1_2, TLS_1_3] {
        let server = Server::start_with(&ca.issue(plain), None, versions);
        let response = assert_refused(dexec(["-H", &server.host(), "web", "true"]), "set DOCKER_TLS_VERIFY=1");
        assert_eq!(response["stderr"], response["message"], "{response}");
        assert!(server.engine.requests().is_empty(), "{:?}", server.engine.requests());
    }
}

#[test]
fn missing_close_notify_keeps_the_exit_code() {
    let ca = Identity::authority("ca", &[]);
    let files = files(&ca, None);
    let ended = |code: i64| {
        json_answer(
            "200 OK",
            &format!("{{\"Running\":false,\"ExitCode\":{code},\"Pid\":7}}"),
        )
    };
    for code in [0, 3] {
        let run = |mode: &str| {
            let script = Script {
                inspect: ended(code).into(),
                ..Script::default()
            };
            let server = Server::start_unsealed(&ca.issue(plain), script);
            server.run(VERIFY, &files).env("DEXEC_OUTPUT", mode).run()
        };
        let mut response = run("json").response();
        let message = response.as_object_mut().expect("it is an object").remove("message");
        let message = message
            .as_ref()
            .and_then(Value::as_str)
            .expect("there is a message")
            .to_owned();
        assert!(
            message.contains("close_notify") && message.contains("may be missing"),
            "{message}"
        );
        assert_response(
            &response,
            json!({ "exitCode": code, "stdout": "x", "stderr": "", "success": code == 0 }),
        );
        let raw = run("raw");
        assert_eq!(i64::from(raw.code), code);
        assert_eq!(
            (raw.stdout_text(), raw.stderr_text()),
            ("x".to_owned(), format!("dexec: {message}\n"))
        );
        let events = run("events");
        let last: Value =
            serde_json::from_str(events.stdout_text().lines().last().expect("there is a line")).expect("it is JSON");
        assert_eq!(
            last,
            json!({ "exitCode": code, "success": code == 0, "message": message })
        );
    }
}

#[test]
fn missing_close_notify_with_missing_data_is_a_lost_connection() {
    let ca = Identity::authority("ca", &[]);
    let mut cut = frame(1, b"whole");
    cut.truncate(10);
    let running = json_answer("200 OK", "{\"Running\":true,\"ExitCode\":null,\"Pid\":7}");
    for script in [
        Script {
            start: stream(&[cut]).into(),
            ..Script::default()
        },
        Script {
            inspect: running.into(),
            ..Script::default()
        },
    ] {
        let server = Server::start_unsealed(&ca.issue(plain), script);
        let response = server.run(VERIFY, &files(&ca, None)).response();
        assert_eq!(
            (&response["exitCode"], &response["errorKind"]),
            (&json!(255), &json!("connectionLost")),
            "{response}"
        );
    }
}
