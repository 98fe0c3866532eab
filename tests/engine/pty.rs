//! Runs a program on its own terminal: its output, its keyboard input, and the terminal modes that it leaves.

use std::io::{Read as _, Write};
use std::num::NonZero;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, SlavePty, native_pty_system};

use test_support::Run;

/// The longest time that a test waits for output or for a program's end.
const MAX_WAIT: Duration = Duration::from_secs(180);

/// The lines and columns of the terminal; they differ from all usual defaults.
pub const SIZE: (u16, u16) = (33, 77);

/// A program that runs on a terminal.
pub struct Session {
    child: Box<dyn Child + Send + Sync>,
    controller: Box<dyn MasterPty + Send>,
    /// Kept open, so that the modes can be read after the program has ended.
    _terminal: Box<dyn SlavePty + Send>,
    keyboard: Box<dyn Write + Send>,
    screen: Arc<Screen>,
    /// How many bytes of the output have been waited for.
    seen: usize,
    /// The modes before the program started.
    found: String,
    name: String,
}

#[derive(Default)]
struct Screen {
    shown: Mutex<Vec<u8>>,
    more: Condvar,
    /// How long the reader pauses after each read, in microseconds.
    rest: AtomicU64,
    /// The reader has stopped reading.
    is_closed: AtomicBool,
}

/// Something that can be run on a terminal.
pub trait OnTerminal: Sized {
    /// Starts the program on a terminal of [`SIZE`].
    fn on_terminal(self) -> Session {
        self.on_terminal_read_slowly(Duration::ZERO)
    }

    /// The same, with a reader that pauses for `rest` after each read.
    fn on_terminal_read_slowly(self, rest: Duration) -> Session;
}

impl OnTerminal for Run {
    fn on_terminal_read_slowly(self, rest: Duration) -> Session {
        let wanted = self.into_command();
        let mut command = CommandBuilder::new(wanted.get_program());
        command.args(wanted.get_args());
        command.cwd("/");
        for (name, value) in wanted.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            }
        }
        let pair = native_pty_system()
            .openpty(pty_size(SIZE))
            .expect("a terminal can be made");
        let name = pair.master.tty_name().expect("it has a name").display().to_string();
        let found = modes(&name);
        let screen = Arc::new(Screen::default());
        screen
            .rest
            .store(rest.as_micros().try_into().expect("it is short"), Ordering::Relaxed);
        let mut reader = pair.master.try_clone_reader().expect("it can be read");
        let kept = Arc::clone(&screen);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                kept.shown
                    .lock()
                    .expect("no thread panics")
                    .extend_from_slice(&bytes[..count]);
                kept.more.notify_all();
                if kept.is_closed.load(Ordering::Relaxed) {
                    break;
                }
                thread::sleep(Duration::from_micros(kept.rest.load(Ordering::Relaxed)));
            }
        });
        Session {
            child: pair.slave.spawn_command(command).expect("the program can be started"),
            keyboard: pair.master.take_writer().expect("it can be written to"),
            controller: pair.master,
            _terminal: pair.slave,
            screen,
            seen: 0,
            found,
            name,
        }
    }
}

impl Session {
    pub fn type_in(&mut self, keys: impl AsRef<[u8]>) {
        self.keyboard.write_all(keys.as_ref()).expect("it can be typed");
        self.keyboard.flush().expect("it can be typed");
    }

    /// Waits until the output contains this text, after the text that was waited for before.
    #[track_caller]
    pub fn wait_for(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        let deadline = Instant::now() + MAX_WAIT;
        let mut shown = self.screen.shown.lock().expect("no thread panics");
        loop {
            let new = &shown[self.seen..];
            if let Some(place) = new.windows(expected.len()).position(|window| window == expected) {
                self.seen += place + expected.len();
                return;
            }
            let rest = deadline.saturating_duration_since(Instant::now());
            assert!(
                !rest.is_zero(),
                "`{}` is not shown: {}",
                expected.escape_ascii(),
                new.escape_ascii()
            );
            shown = self.screen.more.wait_timeout(shown, rest).expect("no thread panics").0;
        }
    }

    /// Waits until the screen, as a terminal draws it, meets the condition.
    #[track_caller]
    pub fn wait_for_screen(&self, is_right: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + MAX_WAIT;
        loop {
            let screen = self.screen();
            if is_right(&screen) {
                return screen;
            }
            assert!(
                Instant::now() < deadline,
                "the screen is not as it should be:\n{screen}"
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The screen after all output so far, on a terminal of this size.
    pub fn screen(&self) -> String {
        let size = self.controller.get_size().expect("it has a size");
        let mut parser = vt100::Parser::new(character_count(size.rows), character_count(size.cols), 0);
        parser.process(&self.shown());
        parser.screen().contents()
    }

    pub fn shown(&self) -> Vec<u8> {
        self.screen.shown.lock().expect("no thread panics").clone()
    }

    pub fn resize(&self, size: (u16, u16)) {
        self.controller.resize(pty_size(size)).expect("it can be resized");
    }

    pub fn pid(&self) -> u32 {
        self.child.process_id().expect("it runs")
    }

    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Sets modes of the terminal, as another program might.
    pub fn set_modes(&self, modes: &str) {
        let status = Command::new("stty").args(["-F", &self.name, modes]).status();
        assert!(status.expect("stty can be run").success());
    }

    /// Closes the terminal, as closing its window does, when the next output arrives.
    pub fn hang_up(self) {
        self.screen.is_closed.store(true, Ordering::Relaxed);
    }

    /// Returns whether the terminal's modes are those before the program started.
    pub fn is_restored(&self) -> bool {
        modes(&self.name) == self.found
    }

    #[track_caller]
    pub fn wait_until_raw(&self) {
        self.wait_until(|session| {
            let modes = modes(&session.name);
            ["-icanon", "-echo", "-isig", "-opost", "-ixon", "-icrnl"]
                .iter()
                .all(|off| modes.split_whitespace().any(|mode| mode == *off))
        });
    }

    #[track_caller]
    pub fn wait_until(&self, is_so: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + MAX_WAIT;
        while !is_so(self) {
            assert!(Instant::now() < deadline, "it does not come about");
            thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it can be waited for").is_some()
    }

    /// Waits for the program's end. Returns the exit code and all output. The terminal's modes must be restored.
    #[track_caller]
    pub fn end(mut self) -> (u32, Vec<u8>) {
        let deadline = Instant::now() + MAX_WAIT;
        while !self.has_ended() {
            if Instant::now() > deadline {
                let _ = self.child.kill();
                panic!("no end; shown: {}", self.shown().escape_ascii());
            }
            thread::sleep(Duration::from_millis(10));
        }
        let status = self.child.wait().expect("it has ended");
        assert_eq!(modes(&self.name), self.found, "the terminal is not as it was found");
        // The reader may still have to read the last bytes.
        let mut before = usize::MAX;
        while before != self.shown().len() {
            before = self.shown().len();
            let rest = Duration::from_micros(self.screen.rest.load(Ordering::Relaxed));
            thread::sleep(rest * 2 + Duration::from_millis(50));
        }
        (status.exit_code(), self.shown())
    }
}

pub fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args(["-s", name, &pid.to_string()]).status();
    assert!(status.expect("kill can be run").success());
}

fn character_count(number: u16) -> NonZero<u16> {
    NonZero::new(number).expect("a terminal has characters")
}

fn pty_size((rows, cols): (u16, u16)) -> PtySize {
    PtySize {
        rows,
        cols,
        ..PtySize::default()
    }
}

/// The modes of a terminal as `stty -a` prints them, without the size.
fn modes(name: &str) -> String {
    let output = Command::new("stty")
        .args(["-a", "-F", name])
        .stdin(Stdio::null())
        .output();
    let output = output.expect("stty can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let modes = String::from_utf8(output.stdout).expect("it is text");
    let (_, modes) = modes.split_once("line =").expect("the size is the first field");
    modes.to_owned()
}
