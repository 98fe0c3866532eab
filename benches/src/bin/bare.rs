//! The least that a client of the Engine API can be: `bare SOCKET [-k] [-i] CONTAINER COMMAND...`, blocking, three requests.
//! With -k it keeps standard output until the command has ended, as who writes a response has to.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd;

use dexec_benches::{Api, deliver, feed};

fn main() {
    let mut words = std::env::args().skip(1).peekable();
    let socket = words.next().expect("usage: bare SOCKET [-k] [-i] CONTAINER COMMAND...");
    let is_kept = words.next_if(|word| word == "-k").is_some();
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
    let (mut stdout, stderr) = (unbuffered(&io::stdout()), unbuffered(&io::stderr()));
    let mut kept = Vec::new();
    if is_kept {
        deliver(stream, &mut kept, stderr);
    } else {
        deliver(stream, &stdout, stderr);
    }
    let code = api.exit_code(&id);
    stdout.write_all(&kept).expect("the output can be written");
    // A read of standard input that is under way is not waited for.
    std::process::exit(i32::try_from(code).unwrap_or(1));
}

fn unbuffered(stream: &impl AsFd) -> File {
    let stream = stream.as_fd().try_clone_to_owned();
    stream.expect("there is a descriptor to be had").into()
}
