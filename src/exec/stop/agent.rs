//! The program that lists a container's processes from inside the container, and sends them signals.
//!
//! It is the [helper](super::super::helper) or, if the helper can't be put into the container, a script for the
//! container's shell. Both read the same requests from standard input, one per line. Each answer ends with a line that
//! contains only a dot.

use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};

use crate::api::{Api, ExecId, start_failure};
use crate::error::{Error, ErrorKind};
use crate::exec::frames::Frames;
use crate::marker::Marker;
use crate::output::Stream;
use crate::request::{ContainerName, ExecSpec};
use crate::transport::Connection;

use super::clock::{EngineClock, Moment};
use super::processes::{Process, ProcessId, Sign};

const SCRIPT: &str = include_str!("agent.sh");

/// Reads the script from standard input, up to a line with a dot, and runs it. As an argument, the script would be
/// shown in every process list. Reading it starts no process.
const LOADER: &str = "s=;while IFS= read -r l&&[ \"$l\" != . ];do s=\"$s$l\n\";done;eval \"$s\"";

/// Where the shell finds programs, whatever the image's own setting is.
const SHELL_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long the agent may take to end after its input has ended.
const LEAVING_TIMEOUT: Duration = Duration::from_secs(1);

/// Larger than a table of a hundred thousand processes.
const MAX_REPLY_SIZE: usize = 32 * 1024 * 1024;

const MAX_COMPLAINT_LEN: usize = 4 * 1024;

/// The maximum number of processes in one request: the agent limits the length of a line.
const BATCH: usize = 1000;

/// How many times the agent's clock is read. The fastest answer is the most precise.
const CLOCK_READINGS: u32 = 3;

/// `EPERM`, in the agent's answers.
pub(super) const NOT_PERMITTED: u16 = 1;

pub(super) const TERM: u8 = 15;
pub(super) const CONT: u8 = 18;
pub(super) const STOP: u8 = 19;
pub(super) const KILL: u8 = 9;

/// A running agent. Dropping it closes its input, which ends it.
#[derive(Debug)]
pub(super) struct Agent {
    reader: ReadHalf<Connection>,
    writer: WriteHalf<Connection>,
    frames: Frames,
    bytes: BytesMut,
    /// The beginning of what the agent wrote to standard error.
    complaint: Vec<u8>,
    pub(super) exec: ExecId,
    pub(super) hello: Hello,
}

/// What an agent reports about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hello {
    /// Its process id.
    pub(super) pid: u32,
    /// Its effective user id; `None` if it can't determine it.
    pub(super) user: Option<u32>,
    /// Whether it can read and signal the processes of every user.
    pub(super) acts_as_anyone: bool,
    /// Whether the file that it was started from has been removed.
    pub(super) is_unlinked: bool,
}

/// The container and the user that an agent runs as.
#[derive(Clone, Debug)]
pub(super) struct Place<'a> {
    pub(super) api: &'a Api,
    pub(super) container: &'a ContainerName,
    pub(super) user: Option<String>,
    pub(super) is_privileged: bool,
}

/// What can be determined about a process that has no sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attribution {
    /// It does not belong to the command: it has another command's marker, or the environment of the container's first
    /// process.
    Cleared,
    /// It has the command's marker by now.
    Marked,
    /// Nothing can be determined.
    Unknown,
}

/// Why an agent could not be started.
#[derive(Debug)]
pub(super) enum Unstarted {
    /// The container lacks what the agent needs.
    Unfit(String),
    Failed(Error),
}

impl Agent {
    /// Starts the helper that was put at `path`.
    pub(super) async fn helper(place: Place<'_>, path: &str) -> Result<Self, Unstarted> {
        let command = [path, "agent"].map(str::to_owned).into();
        Self::run(place, command, Vec::new(), "").await
    }

    /// Starts the script in the container's shell.
    pub(super) async fn shell(place: Place<'_>) -> Result<Self, Unstarted> {
        let command = ["/bin/sh", "-c", LOADER, "dexec"].map(str::to_owned).into();
        let script = format!("{SCRIPT}.\n");
        Self::run(place, command, vec![SHELL_PATH.to_owned()], &script).await
    }

    async fn run(place: Place<'_>, command: Vec<String>, env: Vec<String>, input: &str) -> Result<Self, Unstarted> {
        let Place {
            api,
            container,
            user,
            is_privileged,
        } = place;
        let spec = ExecSpec {
            container: container.clone(),
            command,
            env,
            user,
            is_privileged,
            // The image's own working directory may no longer exist.
            workdir: Some("/".to_owned()),
            ..ExecSpec::default()
        };
        let exec = api.create_exec(&spec, true).await.map_err(Unstarted::Failed)?;
        let attached = api.start_attached(&exec, &spec).await.map_err(Unstarted::Failed)?;
        let (reader, writer) = tokio::io::split(attached.connection);
        let mut agent = Self {
            reader,
            writer,
            frames: Frames::default(),
            bytes: BytesMut::from(&attached.read_ahead[..]),
            complaint: Vec::new(),
            exec,
            hello: Hello::default(),
        };
        // If this fails, there is no answer, which is reported below.
        let _ = agent.writer.write_all(input.as_bytes()).await;
        let hello = agent.read_until(|text| text.ends_with(b"\n")).await;
        let hello = hello.map_err(Unstarted::Failed)?;
        match Hello::parse(&hello) {
            Some(hello) => agent.hello = hello,
            None => return Err(agent.unstarted(&spec, &hello)),
        }
        Ok(agent)
    }

    /// Why the agent did not report that it is ready. A runtime writes its error message to the output.
    fn unstarted(&self, spec: &ExecSpec, hello: &str) -> Unstarted {
        let complaint = String::from_utf8_lossy(&self.complaint);
        let words = if hello.trim().is_empty() { &complaint } else { hello }.trim();
        let program = spec.command.first().map_or("", String::as_str);
        let error = start_failure(program, words);
        match error.kind() {
            _ if words.is_empty() => Unstarted::Unfit("it exited immediately".to_owned()),
            ErrorKind::CommandNotFound | ErrorKind::CommandNotExecutable => Unstarted::Unfit(error.cause().to_owned()),
            _ => Unstarted::Failed(error),
        }
    }

    /// Lists the processes that the agent sees. Processes that started before the tick `since` have only the data from
    /// `/proc/PID/stat`.
    pub(super) async fn list(&mut self, marker: &Marker, since: u64) -> Result<Vec<Process>, Error> {
        let text = self.ask(&format!("list {} {since}", marker.entry())).await?;
        Ok(text.lines().filter_map(Process::parse).collect())
    }

    /// Sends a signal to processes, unless their ids were reused. Returns the processes for which it was refused, with
    /// the error number.
    pub(super) async fn kill(&mut self, signal: u8, processes: &[ProcessId]) -> Result<Vec<(u32, u16)>, Error> {
        let mut refused = Vec::new();
        for batch in processes.chunks(BATCH) {
            let words: Vec<String> = batch
                .iter()
                .map(|ProcessId { pid, start }| format!("{pid} {start}"))
                .collect();
            let text = self.ask(&format!("kill {signal} {}", words.join(" "))).await?;
            refused.extend(text.lines().filter_map(|line| {
                let (pid, errno) = line.split_once(' ')?;
                Some((pid.parse().ok()?, errno.parse().ok()?))
            }));
        }
        Ok(refused)
    }

    /// Compares these processes with the container's first process. Processes that no longer exist are left out.
    pub(super) async fn look(
        &mut self,
        marker: &Marker,
        first: u32,
        pids: &[u32],
    ) -> Result<Vec<(u32, Attribution)>, Error> {
        let marker = marker.entry();
        let mut looks = Vec::new();
        for batch in pids.chunks(BATCH) {
            let words: Vec<String> = batch.iter().map(u32::to_string).collect();
            let text = self.ask(&format!("look {marker} {first} {}", words.join(" "))).await?;
            looks.extend(text.lines().filter_map(parse_look));
        }
        Ok(looks)
    }

    /// Compares the agent's clock with the local clock.
    pub(super) async fn read_clock(&mut self, clock: &mut EngineClock) -> Result<(), Error> {
        for _ in 0..CLOCK_READINGS {
            let asked = Moment::now();
            let text = self.ask("clock").await?;
            let reading = text.trim().parse();
            clock.read(
                asked,
                Moment::now(),
                reading.map_err(|_| failed("the response to `clock` is not a number"))?,
            );
        }
        Ok(())
    }

    /// Removes the file of another agent that could not remove it itself.
    pub(super) async fn unlink(&mut self, path: &str) -> Result<(), Error> {
        self.ask(&format!("unlink {path}")).await.map(drop)
    }

    /// Ends the agent, and waits a limited time until it has left the container.
    pub(super) async fn leave(mut self) {
        let left = async {
            if self.writer.shutdown().await.is_ok() {
                while self.read(&mut Vec::new()).await.unwrap_or(false) {}
            }
        };
        // After a timeout, the agent still ends on its own.
        let _ = tokio::time::timeout(LEAVING_TIMEOUT, left).await;
    }

    /// Sends a request, and returns the answer without its last line.
    async fn ask(&mut self, line: &str) -> Result<String, Error> {
        let sent = self.writer.write_all(format!("{line}\n").as_bytes()).await;
        sent.map_err(|error| failed(&error.to_string()))?;
        let mut text = self
            .read_until(|text| text == b".\n" || text.ends_with(b"\n.\n"))
            .await?;
        if !text.ends_with(".\n") {
            return Err(failed("the response is incomplete"));
        }
        text.truncate(text.len() - 2);
        Ok(text)
    }

    /// Reads the agent's output until `is_whole` returns `true` or the output ends.
    async fn read_until(&mut self, is_whole: impl Fn(&[u8]) -> bool) -> Result<String, Error> {
        let mut text = Vec::new();
        while !is_whole(&text) && self.read(&mut text).await? {
            if text.len() > MAX_REPLY_SIZE {
                return Err(failed(&format!(
                    "the response exceeds {} MiB",
                    MAX_REPLY_SIZE / 1024 / 1024
                )));
            }
        }
        Ok(String::from_utf8(text).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    /// Reads more of the agent's output. Returns `false` if it has ended.
    async fn read(&mut self, text: &mut Vec<u8>) -> Result<bool, Error> {
        loop {
            let mut has_more = false;
            while let Some((stream, piece)) = self
                .frames
                .next(&mut self.bytes)
                .map_err(|error| failed(&error.to_string()))?
            {
                match stream {
                    Stream::Stdout => text.extend_from_slice(&piece),
                    Stream::Stderr => {
                        let room = MAX_COMPLAINT_LEN.saturating_sub(self.complaint.len());
                        self.complaint.extend_from_slice(&piece[..piece.len().min(room)]);
                    }
                }
                has_more = true;
            }
            if has_more {
                return Ok(true);
            }
            // A connection that was reset has ended as well.
            if self.reader.read_buf(&mut self.bytes).await.unwrap_or(0) == 0 {
                return Ok(false);
            }
        }
    }
}

fn failed(reason: &str) -> Error {
    Error::new(
        ErrorKind::ConnectionLost,
        format!("failed to inspect the container's processes: {reason}"),
    )
}

impl Hello {
    /// Parses a line `ready PID UID any|own linked|unlinked`.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("ready ")?.split_ascii_whitespace();
        Some(Self {
            pid: words.next()?.parse().ok()?,
            user: words.next()?.parse().ok(),
            acts_as_anyone: words.next()? == "any",
            is_unlinked: words.next()? == "unlinked",
        })
    }
}

/// Parses a line `PID SIGN`.
fn parse_look(line: &str) -> Option<(u32, Attribution)> {
    let (pid, sign) = line.split_once(' ')?;
    let look = match (sign, Sign::parse(sign)) {
        ("own", _) | (_, Sign::Foreign) => Attribution::Cleared,
        (_, Sign::Marked) => Attribution::Marked,
        _ => Attribution::Unknown,
    };
    Some((pid.parse().ok()?, look))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reply_to_look_is_parsed() {
        for (line, look) in [
            ("12 own", Attribution::Cleared),
            ("12 foreign", Attribution::Cleared),
            ("12 marked", Attribution::Marked),
            ("12 unreadable", Attribution::Unknown),
            ("12 none", Attribution::Unknown),
        ] {
            assert_eq!(parse_look(line), Some((12, look)));
        }
        assert_eq!(parse_look("?"), None);
    }

    #[test]
    fn first_line_of_the_agent_is_parsed() {
        assert_eq!(
            Hello::parse("ready 12 0 any unlinked\n"),
            Some(Hello {
                pid: 12,
                user: Some(0),
                acts_as_anyone: true,
                is_unlinked: true,
            })
        );
        let shell = Hello::parse("ready 7 - own unlinked\n");
        assert_eq!(
            shell.map(|hello| (hello.user, hello.acts_as_anyone)),
            Some((None, false))
        );
        assert_eq!(Hello::parse("sh: nothing\n"), None);
    }
}
