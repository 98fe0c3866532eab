#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;

#[test]
fn hosts_are_parsed_as_docker_parses_them() {
    for (text, address) in [
        ("unix://", "unix:///var/run/docker.sock"),
        ("  unix:///tmp/x.sock ", "unix:///tmp/x.sock"),
        ("unix://relative.sock", "unix://relative.sock"),
        ("tcp://", "tcp://localhost:2375"),
        ("tcp://box", "tcp://box:2375"),
        ("tcp://box:", "tcp://box:2375"),
        ("tcp://box:1", "tcp://box:1"),
        ("tcp://:99", "tcp://localhost:99"),
        (":99", "tcp://localhost:99"),
        ("box", "tcp://box:2375"),
        ("box:99", "tcp://box:99"),
        ("tcp://[::1]", "tcp://[::1]:2375"),
        ("tcp://[::1]:9", "tcp://[::1]:9"),
        ("[fe80::1%eth0]:9", "tcp://[fe80::1%25eth0]:9"),
        ("tcp://[fe80::1%25lo]:9", "tcp://[fe80::1%25lo]:9"),
        ("tcp://[fe80::1%2525]:9", "tcp://[fe80::1%2525]:9"),
        ("ssh://me@[fe80::1%25lo]", "ssh://me@[fe80::1%25lo]"),
        ("unix://@name", "unix://@name"),
        ("unix://@name/", "unix://@name/"),
        ("tcp://[fe80::1%251]", "tcp://[fe80::1%251]:2375"),
        ("ssh://box", "ssh://box"),
        ("ssh://me@box:22", "ssh://me@box:22"),
        ("ssh://me@corp@box", "ssh://me@corp@box"),
        ("ssh://box/", "ssh://box"),
        (
            "ssh://me@[::1]:22/run/user/7/docker.sock",
            "ssh://me@[::1]:22/run/user/7/docker.sock",
        ),
        ("ssh://@box:", "ssh://box"),
        ("npipe://", "npipe:////./pipe/docker_engine"),
        ("npipe:////./pipe/x", "npipe:////./pipe/x"),
    ] {
        let (parsed, path) = Address::parse(text).unwrap();
        assert_eq!((parsed.to_string().as_str(), path.as_str()), (address, ""), "{text:?}");
        assert_eq!(Address::parse(address).unwrap().0, parsed, "{text:?}");
    }
    assert_eq!(Address::parse(" ").unwrap().0, Address::default_place());
}

#[test]
fn path_in_a_tcp_address_is_the_base_path() {
    for (text, address, path) in [
        ("tcp://box/", "tcp://box:2375", ""),
        ("tcp://box:1/a/b", "tcp://box:1", "/a/b"),
        ("box/a/b//", "tcp://box:2375", "/a/b"),
        ("tcp:///a%20b", "tcp://localhost:2375", "/a%20b"),
    ] {
        let parsed = Address::parse(text).unwrap();
        assert_eq!(
            (parsed.0.to_string().as_str(), parsed.1.as_str()),
            (address, path),
            "{text:?}"
        );
    }
}

#[test]
fn ssh_address_is_parsed_into_its_parts() {
    let (address, _) = Address::parse("ssh://me@box:2222/run/podman/podman.sock").unwrap();
    let parts = Address::Ssh {
        user: Some("me".to_owned()),
        host: "box".to_owned(),
        port: Some(2222),
        socket: Some("/run/podman/podman.sock".to_owned()),
    };
    assert_eq!(address, parts);
}

#[test]
fn invalid_address_is_refused_with_a_remedy() {
    for (text, remedy) in [
        ("foo://box", "use unix:///path, tcp://host:port"),
        ("fd://box", "use unix:///path, tcp://host:port"),
        ("unix://x://y", "use unix:///path, tcp://host:port"),
        ("unix:///run/docker.sock/", "does not end with a slash"),
        ("unix://@", "needs a name after the @"),
        ("tcp://[fe80::1%25]:1", "followed by a network interface"),
        ("ssh://[fe80::1%]", "followed by a network interface"),
        ("http://box:1", "use tcp:// instead"),
        ("https://box:1", "For TLS, set"),
        ("/var/run/docker.sock", "write unix:// before its path"),
        ("tcp://box:0", "from 1 to 65535"),
        ("tcp://box:65536", "from 1 to 65535"),
        ("tcp://box:x", "from 1 to 65535"),
        ("tcp://box/path?x", "the form is tcp://host:port/base/path"),
        ("tcp://box?x", "the form is tcp://host:port/base/path"),
        ("tcp://user@box", "the form is tcp://host:port/base/path"),
        ("tcp://box/a b", "its path is not valid"),
        ("tcp://a b", "can't contain white space"),
        ("tcp://::1", "in brackets"),
        ("tcp://[::1", "not closed"),
        ("tcp://[::1]x", "only a port can follow"),
        ("tcp://[box]:1", "in brackets"),
        ("ssh://", "the host is missing"),
        ("ssh://me@", "the host is missing"),
        ("ssh:///run/docker.sock", "the host is missing"),
        ("ssh://box:x", "from 1 to 65535"),
        ("ssh://box?x=y", "the form is ssh://user@host:port"),
        ("ssh://box/a#b", "the form is ssh://user@host:port"),
        ("ssh://me%40x@box", "the form is ssh://user@host:port"),
        ("ssh://-oProxyCommand=x", "can't begin with `-`"),
        ("ssh://-lx@box", "can't begin with `-`"),
    ] {
        let message = Address::parse(text).unwrap_err().to_string();
        assert!(message.contains(remedy), "{text:?}: {message}");
        assert!(message.contains(&format!("`{text}`")), "{text:?}: {message}");
    }
}

#[test]
fn errors_do_not_show_passwords() {
    for text in [
        "ssh://me:hunter2@box",
        "tcp://me:hunter2@box",
        "me:hunter2@box",
        "http://me:hunter2@box",
        "ssh://me:hunter2@a/b@box",
    ] {
        let message = Address::parse(text).unwrap_err().to_string();
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[test]
fn named_pipes_are_supported_only_on_windows() {
    let (address, _) = Address::parse("npipe://").unwrap();
    assert_eq!(address.on_this_system().is_ok(), cfg!(windows));
}

#[test]
fn abstract_sockets_are_supported_only_on_linux() {
    let (address, _) = Address::parse("unix://@name").unwrap();
    assert_eq!(address.abstract_name(), Some("name"));
    assert_eq!(address.on_this_system().is_ok(), cfg!(target_os = "linux"));
    let (file, _) = Address::parse("unix://./@name").unwrap();
    assert_eq!(file.abstract_name(), None);
    assert!(file.on_this_system().is_ok());
}
