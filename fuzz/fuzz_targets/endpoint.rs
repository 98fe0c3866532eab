//! The text of `--host` and `DOCKER_HOST`: what is understood prints as a text that means the same.
#![no_main]

use dexec::{Address, Endpoint, ErrorKind, Origin};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|host: &str| {
    let endpoint = match Endpoint::parse(host) {
        Ok(endpoint) => endpoint,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::InvalidRequest);
            assert!(error.to_string().contains(host.trim()));
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
        _ => panic!("{endpoint:?} is of no known kind"),
    }
    let printed = endpoint.address().to_string();
    match Endpoint::parse(&printed) {
        Ok(again) => assert_eq!(again.address(), endpoint.address(), "printed as {printed:?}"),
        Err(error) => panic!("printed as {printed:?}: {error}"),
    }
});
