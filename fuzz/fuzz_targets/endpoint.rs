//! The text of `--host` and `DOCKER_HOST`: what is understood prints as a text that means the same.
#![no_main]

use dexec::{Address, Endpoint, ErrorKind, Origin};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|host: &str| {
    let endpoint = match Endpoint::parse(host) {
        Ok(endpoint) => endpoint,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::InvalidRequest);
            // A password may stand before the `@` of ssh, and is not shown.
            assert!(error.to_string().contains(host.trim()) || host.contains('@'));
            return;
        }
    };
    assert_eq!(endpoint.origin(), Origin::Given);
    match endpoint.address() {
        Address::Unix(path) => assert!(!path.as_os_str().is_empty()),
        Address::Tcp { host, port } => {
            assert!(!host.is_empty() && !host.contains(char::is_whitespace) && *port != 0);
            assert!(!host.contains(['/', '?', '#', '@']));
        }
        Address::Ssh {
            user,
            host,
            port,
            socket,
        } => {
            assert!(!host.is_empty() && !host.starts_with('-') && *port != Some(0));
            assert!(!host.contains(|character: char| character.is_whitespace() || "/?#@;$`'\"".contains(character)));
            assert!(user.as_deref().is_none_or(|user| !user.is_empty() && !user.starts_with('-')));
            assert!(socket.as_deref().is_none_or(|socket| socket.starts_with('/')));
        }
        Address::NamedPipe(path) => assert!(!path.is_empty()),
        _ => panic!("{endpoint:?} is of no known kind"),
    }
    let printed = endpoint.address().to_string();
    match Endpoint::parse(&printed) {
        Ok(again) => assert_eq!(again.address(), endpoint.address(), "printed as {printed:?}"),
        Err(error) => panic!("printed as {printed:?}: {error}"),
    }
});
