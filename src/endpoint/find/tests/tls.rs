//! Whether TLS is used, and with which files.

use super::*;

#[test]
fn tls_settings_match_docker() {
    type Say = fn(&mut EndpointOptions);
    let say_nothing: Say = |_| ();
    let cases: [(&[&'static str], Say, Option<bool>); 12] = [
        (&[], say_nothing, None),
        (&["DOCKER_CERT_PATH"], say_nothing, None),
        (&["DOCKER_TLS"], say_nothing, Some(false)),
        (&["DOCKER_TLS_VERIFY"], say_nothing, Some(true)),
        (&["DOCKER_TLS", "DOCKER_TLS_VERIFY"], say_nothing, Some(true)),
        (&[], |options| options.tls = Some(true), Some(false)),
        (&[], |options| options.tls_verify = Some(true), Some(true)),
        (&[], |options| options.tls_verify = Some(false), Some(false)),
        (
            &["DOCKER_TLS_VERIFY"],
            |options| options.tls_verify = Some(false),
            Some(false),
        ),
        (&["DOCKER_TLS_VERIFY"], |options| options.tls = Some(false), Some(true)),
        (&["DOCKER_TLS"], |options| options.tls = Some(false), None),
        (&[], |options| options.tls_key = Some("/nowhere".into()), None),
    ];
    for (variables, say, verifies) in cases {
        let mut world = World::new().host("tcp://box").file(".docker/ca.pem", "CA");
        for variable in variables {
            let value = if *variable == "DOCKER_CERT_PATH" {
                "/nowhere"
            } else {
                "0"
            };
            world = world.set(variable, value);
        }
        say(&mut world.options);
        let endpoint = world.find().unwrap();
        assert_eq!(endpoint.tls().map(|tls| tls.verify), verifies, "{variables:?}");
        assert_eq!(endpoint.is_plaintext_remote(), verifies.is_none(), "{variables:?}");
    }
}

#[test]
fn tls_files_are_found_as_docker_finds_them() {
    let world = || World::new().set("DOCKER_TLS_VERIFY", "1").host("tcp://box");
    let authority = |world: &World| {
        let tls = world.find().unwrap().tls.unwrap();
        String::from_utf8(tls.ca.unwrap().bytes).unwrap()
    };
    let files = |world: World| {
        world
            .file(".docker/ca.pem", "HOME")
            .file("certs/ca.pem", "PATH")
            .file("q'/ca", "FLAG")
    };
    let below = |world: &World, path: &str| world.home.path().join(path);

    assert_eq!(authority(&files(world())), "HOME");
    let named = files(world());
    let certs = below(&named, "certs");
    assert_eq!(authority(&named.set("DOCKER_CONFIG", &certs)), "PATH");
    let named = files(world());
    let certs = below(&named, "certs");
    let mut named = named.set("DOCKER_CONFIG", "/nowhere").set("DOCKER_CERT_PATH", certs);
    assert_eq!(authority(&named), "PATH");
    // The option for the configuration directory does not change the directory of the TLS files.
    named.options.config_dir = Some(below(&named, ".docker"));
    assert_eq!(authority(&named), "PATH");
    named.options.tls_ca_cert = Some(below(&named, "q'/ca"));
    assert_eq!(authority(&named), "FLAG");
    named.options.tls_ca_cert = Some("".into());
    assert_eq!(named.find().unwrap().tls.unwrap().ca, None);

    // The CA file must exist, even for a socket. The client's files need not exist unless options name them.
    for host in ["tcp://box", "unix:///x"] {
        let error = world().host(host).refused(ErrorKind::Tls, "ca.pem does not exist");
        assert!(error.docker_text().ends_with("ca.pem: no such file or directory"));
    }
    let mut unnamed = world().file(".docker/ca.pem", "CA").file(".docker/cert.pem", "CERT");
    assert_eq!(unnamed.find().unwrap().tls.unwrap().identity, None);
    unnamed.options.tls_key = Some("/nowhere".into());
    unnamed.refused(ErrorKind::Tls, "/nowhere can't be read: no such file");
    let lonely = world().file(".docker/ca.pem", "CA").file(".docker/key.pem", "KEY");
    lonely.refused(ErrorKind::Tls, "has no certificate");
}

#[test]
fn tls_without_a_host_uses_the_docker_tls_port() {
    let world = World::new()
        .set("DOCKER_TLS", "1")
        .file(".docker/ca.pem", "CA")
        .socket(DOCKER);
    assert_eq!(world.found(), ("tcp://localhost:2376".to_owned(), Origin::Default));
    // A host without a port gets the usual port even with TLS.
    assert_eq!(world.host("tcp://box").found().0, "tcp://box:2375");
}

#[test]
fn debug_output_does_not_show_secrets() {
    let endpoint = World::new()
        .host("tcp://box")
        .set("DOCKER_TLS", "1")
        .set("DOCKER_CUSTOM_HEADERS", "X-Token=hunter2")
        .file(".docker/ca.pem", "hunter2")
        .file(".docker/cert.pem", "hunter2")
        .file(".docker/key.pem", "hunter2")
        .find()
        .unwrap();
    let shown = format!("{endpoint:?} {:?}", endpoint.tls());
    assert!(shown.contains("key.pem") && shown.contains("X-Token"), "{shown}");
    let bytes = format!("{:?}", b"hunter2");
    assert!(!shown.contains("hunter2") && !shown.contains(&bytes), "{shown}");
}
