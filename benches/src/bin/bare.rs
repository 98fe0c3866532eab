//! The least that a client of the Engine API can be: `bare SOCKET [-i] CONTAINER COMMAND...`, blocking, three requests.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use dexec_benches::{Api, deliver, feed};

fn main() {
    let mut words = std::env::args().skip(1).peekable();
    let socket = words.next().expect("usage: bare SOCKET [-i] CONTAINER COMMAND...");
    let has_stdin = words.next_if(|word| word == "-i").is_some();
    let container = words.next().expect("a container is named");
    let command: Vec<String> = words.collect();

    let mut api = Api::connect(socket.into());
    let id = api.create(&container, &command, has_stdin);
    let stream = api.start(&id);
    if has_stdin {
        let writer = stream.get_ref().try_clone().expect("there is a descriptor to be had");
        std::thread::spawn(move || feed(unbuffered(&io::stdin()), &writer));
    }
    deliver(stream, unbuffered(&io::stdout()), unbuffered(&io::stderr()));
    // A read of standard input that is under way is not waited for.
    std::process::exit(i32::try_from(api.exit_code(&id)).unwrap_or(1));
}

fn unbuffered(stream: &impl AsFd) -> File {
    let stream = stream.as_fd().try_clone_to_owned();
    stream.expect("there is a descriptor to be had").into()
}
