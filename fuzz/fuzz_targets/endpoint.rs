//! The text of `--host` and `DOCKER_HOST`: what is understood prints as a text that means the same.
#![no_main]

use dexec::{Address, Endpoint, ErrorKind, Origin};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|host: &str| {
    let endpoint = match Endpoint::parse(host) {
        Ok(endpoint) => endpoint,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::InvalidRequest);
            let message = error.to_string();
            assert!(!message.contains(char::is_control), "{message:?}");
            let is_shown_whole = host.len() <= 300 && !host.contains(['@']) && !host.contains(char::is_control);
            assert!(!is_shown_whole || message.contains(host.trim()), "{message:?}");
            return;
        }
    };
    assert_eq!(endpoint.origin(), &Origin::Given);
    match endpoint.address() {
        Address::Unix(path) => assert!(!path.as_os_str().is_empty()),
        Address::Tcp { host, port } => {
            assert!(!host.is_empty() && !host.contains(char::is_whitespace) && *port != 0);
            assert!(!host.contains(['/', '?', '#', '@']));
        }
        Address::Ssh { user, host, socket, .. } => {
            // None of these is an option of ssh's, or more than one word.
            let user = user.as_deref().unwrap_or("user");
            for word in [user, host] {
                assert!(!word.is_empty() && !word.starts_with('-') && !word.contains(char::is_whitespace));
            }
            assert!(
                socket
                    .as_ref()
                    .is_none_or(|socket| socket.starts_with('/') && !socket.contains(char::is_whitespace))
            );
        }
        _ => panic!("{endpoint:?} is of no known kind"),
    }
    let printed = endpoint.address().to_string();
    match Endpoint::parse(&printed) {
        Ok(again) => assert_eq!(again.address(), endpoint.address(), "printed as {printed:?}"),
        Err(error) => panic!("printed as {printed:?}: {error}"),
    }
});
