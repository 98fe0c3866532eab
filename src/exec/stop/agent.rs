//! The program that looks at a container's processes from inside, and sends them signals.
//!
//! It is the [helper](super::super::helper), or a script for the container's shell where the helper can't be put. Both
//! understand the same lines on standard input, and answer each with lines of which the last is a dot.

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

/// Reads the script from standard input, up to a line with a dot, and runs it: as an argument it would stand in every
/// list of processes. It starts no process for that.
const LOADER: &str = "s=;while IFS= read -r l&&[ \"$l\" != . ];do s=\"$s$l\n\";done;eval \"$s\"";

/// Where the shell finds what it runs, whatever the image's own setting is.
const SHELL_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long the agent may take to end after its input has.
const LEAVING_TIMEOUT: Duration = Duration::from_secs(1);

/// A table of a hundred thousand processes is smaller.
const MAX_REPLY_SIZE: usize = 32 * 1024 * 1024;

const MAX_COMPLAINT_LEN: usize = 4 * 1024;

/// How many processes one line names: the agent's lines have an end.
const BATCH: usize = 1000;

/// How often the agent's clock is read: the quickest answer says most.
const CLOCK_READINGS: u32 = 3;

/// `EPERM`, in the agent's answers.
pub(super) const NOT_PERMITTED: u16 = 1;

pub(super) const TERM: u8 = 15;
pub(super) const CONT: u8 = 18;
pub(super) const STOP: u8 = 19;
pub(super) const KILL: u8 = 9;

/// A running agent. Dropping it ends it: it leaves when its input ends.
#[derive(Debug)]
pub(super) struct Agent {
    reader: ReadHalf<Connection>,
    writer: WriteHalf<Connection>,
    frames: Frames,
    bytes: BytesMut,
    /// The beginning of what it wrote to standard error.
    complaint: Vec<u8>,
    pub(super) exec: ExecId,
    pub(super) hello: Hello,
}

/// What an agent says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hello {
    /// Its own process.
    pub(super) pid: u32,
    /// Its user; `None` where it can't tell.
    pub(super) user: Option<u32>,
    /// Whether it can read and signal the processes of every user.
    pub(super) acts_as_anyone: bool,
    /// Whether the file it was started from is gone.
    pub(super) is_unlinked: bool,
}

/// As whom and in what container an agent runs.
#[derive(Clone, Debug)]
pub(super) struct Place<'a> {
    pub(super) api: &'a Api,
    pub(super) container: &'a ContainerName,
    pub(super) user: Option<String>,
    pub(super) is_privileged: bool,
}

/// What can be told of a process that has no sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attribution {
    /// It is not the command's: it is another command's, or has what the container's first process has.
    Cleared,
    /// It has turned out to be the command's.
    Marked,
    /// Nothing can be told.
    Unknown,
}

/// Why there is no agent.
#[derive(Debug)]
pub(super) enum Unstarted {
    /// The container has not what it takes.
    Unfit(String),
    Failed(Error),
}

impl Agent {
    /// Starts the helper that was put to `path`.
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
            // The image's own may be gone.
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
        // What can't be sent shows in the answer that does not come.
        let _ = agent.writer.write_all(input.as_bytes()).await;
        let hello = agent.read_until(|text| text.ends_with(b"\n")).await;
        let hello = hello.map_err(Unstarted::Failed)?;
        match Hello::parse(&hello) {
            Some(hello) => agent.hello = hello,
            None => return Err(agent.unstarted(&spec, &hello)),
        }
        Ok(agent)
    }

    /// Why the agent did not say that it is ready. A runtime's words for that come as output.
    fn unstarted(&self, spec: &ExecSpec, hello: &str) -> Unstarted {
        let complaint = String::from_utf8_lossy(&self.complaint);
        let words = if hello.trim().is_empty() { &complaint } else { hello }.trim();
        let program = spec.command.first().map_or("", String::as_str);
        let error = start_failure(program, words);
        match error.kind() {
            _ if words.is_empty() => Unstarted::Unfit("it ended at once".to_owned()),
            ErrorKind::CommandNotFound | ErrorKind::CommandNotExecutable => Unstarted::Unfit(error.cause().to_owned()),
            _ => Unstarted::Failed(error),
        }
    }

    /// The processes that the agent sees. Of those that began before the tick `since` only what `/proc/PID/stat` has.
    pub(super) async fn list(&mut self, marker: &Marker, since: u64) -> Result<Vec<Process>, Error> {
        let text = self.ask(&format!("list {} {since}", marker.entry())).await?;
        Ok(text.lines().filter_map(Process::parse).collect())
    }

    /// Sends a signal to processes, as far as they are still the same. Gives those for which it was refused, with the
    /// number of the error.
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

    /// What can be told of these processes beside the container's first one; of those that have gone, nothing.
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

    /// Compares the agent's clock with ours.
    pub(super) async fn read_clock(&mut self, clock: &mut EngineClock) -> Result<(), Error> {
        for _ in 0..CLOCK_READINGS {
            let asked = Moment::now();
            let text = self.ask("clock").await?;
            let reading = text.trim().parse();
            clock.read(
                asked,
                Moment::now(),
                reading.map_err(|_| failed("it does not tell the time"))?,
            );
        }
        Ok(())
    }

    /// Removes a file of another agent, which could not do so itself.
    pub(super) async fn unlink(&mut self, path: &str) -> Result<(), Error> {
        self.ask(&format!("unlink {path}")).await.map(drop)
    }

    /// Ends the agent, and waits until it has left the container.
    pub(super) async fn leave(mut self) {
        let left = async {
            if self.writer.shutdown().await.is_ok() {
                while self.read(&mut Vec::new()).await.unwrap_or(false) {}
            }
        };
        // It leaves by itself all the same.
        let _ = tokio::time::timeout(LEAVING_TIMEOUT, left).await;
    }

    /// Sends a line, and gives the answer without its last line.
    async fn ask(&mut self, line: &str) -> Result<String, Error> {
        let sent = self.writer.write_all(format!("{line}\n").as_bytes()).await;
        sent.map_err(|error| failed(&error.to_string()))?;
        let mut text = self
            .read_until(|text| text == b".\n" || text.ends_with(b"\n.\n"))
            .await?;
        if !text.ends_with(".\n") {
            return Err(failed("it ended too early"));
        }
        text.truncate(text.len() - 2);
        Ok(text)
    }

    /// What the agent writes up to where `is_whole`, or to its end.
    async fn read_until(&mut self, is_whole: impl Fn(&[u8]) -> bool) -> Result<String, Error> {
        let mut text = Vec::new();
        while !is_whole(&text) && self.read(&mut text).await? {
            if text.len() > MAX_REPLY_SIZE {
                return Err(failed("its answer has no end"));
            }
        }
        Ok(String::from_utf8(text).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    /// Reads more of what the agent writes; `false` when it has ended.
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
            // A connection that is reset has ended as well.
            if self.reader.read_buf(&mut self.bytes).await.unwrap_or(0) == 0 {
                return Ok(false);
            }
        }
    }
}

fn failed(reason: &str) -> Error {
    Error::new(
        ErrorKind::ConnectionLost,
        format!("the look at the container's processes failed: {reason}"),
    )
}

impl Hello {
    /// Reads a line `ready PID UID any|own linked|unlinked`.
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

/// Reads a line `PID SIGN`.
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
    fn a_look_is_read() {
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
    fn an_agent_s_first_line_is_read() {
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
