//! Contexts in docker's store.

use super::*;

#[test]
fn a_context_has_an_address_and_tls() {
    for (endpoint, address, uses_tls) in [
        ("{\"Host\":\"ssh://me@box\"}", "ssh://me@box", false),
        (
            "{\"hOST\":\"tcp://box:1\",\"SKIPTLSVERIFY\":false}",
            "tcp://box:1",
            false,
        ),
        ("{\"Host\":\"tcp://box:1\",\"SkipTLSVerify\":true}", "tcp://box:1", true),
        ("{\"Host\":\"unix:///x\",\"SkipTLSVerify\":true}", "unix:///x", false),
        ("{\"Host\":\"\"}", "unix:///var/run/docker.sock", false),
        ("{}", "unix:///var/run/docker.sock", false),
    ] {
        let world = World::new().stored("one", endpoint).context("one");
        let endpoint = world.find().unwrap();
        assert_eq!(endpoint.address().to_string(), address);
        assert_eq!(endpoint.tls().is_some(), uses_tls, "{address}");
        // With a context, no other places are checked.
        assert!(endpoint.places().is_empty());
    }
}

#[test]
fn a_context_brings_its_own_files_and_no_others() {
    let files = format!(".docker/contexts/tls/{}/docker", directory("one"));
    let world = || World::new().stored("one", "{\"Host\":\"tcp://box:1\"}").context("one");
    let tls = |world: &World| world.find().unwrap().tls().cloned();
    let whole = world()
        .file(&format!("{files}/ca.pem"), "CA")
        .file(&format!("{files}/cert.pem"), "CERT")
        .file(&format!("{files}/key.pem"), "KEY");
    let found = tls(&whole).unwrap();
    assert_eq!(found.ca.unwrap().bytes, b"CA");
    let (certificate, key) = found.identity.unwrap();
    assert_eq!((&*certificate.bytes, &*key.bytes), (&b"CERT"[..], &b"KEY"[..]));
    assert!(found.verify && key.name.ends_with("/docker/key.pem"));

    let ca_alone = tls(&world().file(&format!("{files}/ca.pem"), "CA")).unwrap();
    assert!(ca_alone.ca.is_some() && ca_alone.identity.is_none());
    // A directory without files enables TLS too.
    let empty = tls(&world().file(&format!("{files}/other"), "")).unwrap();
    assert!(empty.ca.is_none() && empty.verify);
    world()
        .file(&format!("{files}/key.pem"), "KEY")
        .refused(ErrorKind::Tls, "has no certificate");
    // The environment's TLS settings do not apply to contexts.
    assert_eq!(
        tls(&world().set("DOCKER_TLS_VERIFY", "1").file(".docker/ca.pem", "CA")),
        None
    );
}

#[test]
fn a_context_that_cannot_be_used_is_told_with_the_others() {
    let error = World::new()
        .stored("two", "{}")
        .context("one")
        .refused(ErrorKind::InvalidRequest, "no context `one` (as given)");
    assert!(
        error
            .to_string()
            .contains("Contexts: default, two. Choose another context"),
        "{error}"
    );
    let docker = "Failed to initialize: unable to resolve docker endpoint: context \"one\": context not found: open ";
    assert!(error.docker_text().starts_with(docker), "{}", error.docker_text());

    let meta = format!(".docker/contexts/meta/{}/meta.json", directory("one"));
    for (contents, words) in [
        ("", "the JSON is incomplete"),
        ("[]", "it is not a JSON object"),
        ("{\"Endpoints\":5}", "`Endpoints` has the wrong type"),
        ("{\"Endpoints\":{}}", "no endpoint for the Docker API"),
        ("{\"Endpoints\":{\"Docker\":{}}}", "no endpoint for the Docker API"),
        ("{\"Endpoints\":{\"docker\":5}}", "`docker` has the wrong type"),
        ("{\"Endpoints\":{\"docker\":{\"Host\":5}}}", "`Host` has the wrong type"),
        (
            "{\"Endpoints\":{\"docker\":{\"SkipTLSVerify\":\"no\"}}}",
            "`SkipTLSVerify` has the wrong type",
        ),
        ("{\"Endpoints\":{\"docker\":{\"Host\":\"foo://x\"}}}", "`foo://x`"),
        ("{\"Endpoints\":{\"docker\":{}}} x", "it is not valid JSON"),
    ] {
        let error = World::new()
            .file(&meta, contents)
            .context("one")
            .refused(ErrorKind::InvalidRequest, words);
        assert!(error.to_string().contains("Contexts: default"), "{error}");
    }
    let directory = World::new().file(&format!("{meta}/x"), "").context("one");
    directory.refused(ErrorKind::InvalidRequest, "not a regular file");
    // A name can't escape the store.
    World::new()
        .context("../../x\n\u{1b}[31m")
        .refused(ErrorKind::InvalidRequest, "no context `../../x  [31m`");
}

#[test]
fn many_contexts_are_listed_in_part() {
    let mut world = World::new().context("one");
    for number in 0..30 {
        let path = format!(".docker/contexts/meta/{number:064}/meta.json");
        world = world.file(&path, &format!("{{\"Name\":\"c{number:02}\"}}"));
    }
    let error = world.refused(ErrorKind::InvalidRequest, "Contexts: default, c00, c01");
    assert!(error.cause().ends_with("c09 and 20 more"), "{error}");
}

#[cfg(unix)]
#[test]
fn files_that_cannot_be_looked_at_do_not_mean_plain_tcp() {
    let world = World::new()
        .stored("one", "{\"Host\":\"tcp://box:1\"}")
        .context("one")
        .file(".docker/contexts/tls/x", "");
    // A link to itself, which root can't read either.
    let tls = world.home.path().join(".docker/contexts/tls").join(directory("one"));
    std::os::unix::fs::symlink(&tls, &tls).unwrap();
    world.refused(ErrorKind::Tls, "can't be read");
}
