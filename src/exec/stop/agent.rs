//! The program that looks at a container's processes from inside, and sends them signals.
//!
//! It is a script for the container's shell, or the [helper](super::super::helper) where there is no shell. Both
//! understand the same lines on standard input, and answer each with lines of which the last is a dot.

use std::collections::HashSet;
use std::future::Future;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};

use crate::engine::{Engine, Socket, start_failure};
use crate::error::{Error, ErrorKind};
use crate::exec::frames::Frames;
use crate::exec::helper::Helper;
use crate::exec::output::Stream;
use crate::request::Spec;

use super::Target;
use super::processes::{Process, ProcessId, Table};

const SCRIPT: &str = include_str!("agent.sh");

/// How long the agent may take to say that it is ready. Of two hundred at once some were seen to take 27 s.
const HELLO_TIME: Duration = Duration::from_secs(60);

/// How long one answer may take.
const REPLY_TIME: Duration = Duration::from_secs(20);

/// How long the agent may take to end after its input has.
const LEAVING_TIME: Duration = Duration::from_secs(2);

/// A table of a hundred thousand processes is smaller.
const LARGEST_REPLY: usize = 32 * 1024 * 1024;

const LONGEST_COMPLAINT: usize = 4 * 1024;

/// How many processes one line names: the agent's lines have an end.
const BATCH: usize = 1000;

pub(super) const TERM: u8 = 15;
pub(super) const CONT: u8 = 18;
pub(super) const STOP: u8 = 19;
pub(super) const KILL: u8 = 9;

/// A running agent. Dropping it ends it: it leaves when its input ends.
#[derive(Debug)]
pub(super) struct Agent {
    reader: ReadHalf<Socket>,
    writer: WriteHalf<Socket>,
    frames: Frames,
    bytes: BytesMut,
    /// The beginning of what it wrote to standard error.
    complaint: Vec<u8>,
    /// Its own process.
    pub(super) pid: u32,
}

/// What can be told of a process that carries no sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// It can't be the command's: its environment is another exec's, or that of the container's first process.
    Cleared,
    /// Its environment tells nothing.
    Unknown,
    /// Its environment can't be read but by the user with this id.
    Unreadable(u32),
}

/// Why there is no agent.
enum Unstarted {
    /// The container has not what it takes.
    Unfit(String),
    Failed(Error),
}

impl Agent {
    /// Starts an agent as `user`; `helper` is what was put into the container for an earlier one, and is put there
    /// now where the container's shell will not do.
    pub(super) async fn start(
        engine: &Engine,
        target: &Target,
        user: Option<String>,
        helper: &mut Option<Helper>,
    ) -> Result<Self, Error> {
        let marker = target.marker.entry().to_owned();
        if helper.is_none() {
            let script = ["sh", "-c", SCRIPT, "dexec"].map(str::to_owned);
            let command = script.into_iter().chain([marker.clone()]).collect();
            match Self::run(engine, target, user.clone(), command).await {
                Ok(agent) => return Ok(agent),
                Err(Unstarted::Failed(error)) => return Err(error),
                Err(Unstarted::Unfit(_)) => {
                    let put = Helper::put(engine, &target.container).await;
                    *helper = Some(put.map_err(|error| no_helper(&error))?);
                }
            }
        }
        let path = helper.as_ref().map_or("", Helper::path).to_owned();
        let command = vec![path, "agent".to_owned(), marker];
        Self::run(engine, target, user, command)
            .await
            .map_err(|error| match error {
                Unstarted::Failed(error) => error,
                Unstarted::Unfit(words) => Error::new(
                    ErrorKind::UnsupportedInContainer,
                    format!("dexec's helper does not run in the container: {words}"),
                ),
            })
    }

    async fn run(
        engine: &Engine,
        target: &Target,
        user: Option<String>,
        command: Vec<String>,
    ) -> Result<Self, Unstarted> {
        let spec = Spec {
            container: target.container.clone(),
            command,
            user,
            is_privileged: target.is_privileged,
            ..Spec::default()
        };
        let id = engine.create_exec(&spec, true).await.map_err(Unstarted::Failed)?;
        let attached = match engine.start_attached(&id, &spec).await {
            Ok(attached) => attached,
            Err(error) => return Err(Unstarted::Failed(error)),
        };
        let (reader, writer) = tokio::io::split(attached.socket);
        let mut agent = Self {
            reader,
            writer,
            frames: Frames::default(),
            bytes: BytesMut::from(&attached.early[..]),
            complaint: Vec::new(),
            pid: 0,
        };
        let hello = within(HELLO_TIME, agent.read_until(|text| text.ends_with(b"\n"))).await;
        let hello = hello.map_err(Unstarted::Failed)?;
        match hello.strip_prefix("ready ").and_then(|pid| pid.trim_end().parse().ok()) {
            Some(pid) => agent.pid = pid,
            None => return Err(agent.unstarted(&spec, &hello)),
        }
        Ok(agent)
    }

    /// Why the agent did not say that it is ready. A runtime's words for that come as output.
    fn unstarted(&self, spec: &Spec, hello: &str) -> Unstarted {
        let complaint = String::from_utf8_lossy(&self.complaint);
        let words = if hello.trim().is_empty() { &complaint } else { hello }.trim();
        let program = spec.command.first().map_or("", String::as_str);
        let error = start_failure(program, words);
        match error.kind() {
            _ if words.is_empty() => Unstarted::Unfit("it ended at once".to_owned()),
            ErrorKind::CommandNotFound | ErrorKind::CommandNotExecutable => Unstarted::Unfit(error.to_string()),
            _ => Unstarted::Failed(error),
        }
    }

    /// The container's processes.
    pub(super) async fn list(&mut self) -> Result<Table, Error> {
        let mut table = Table::default();
        let mut marked = HashSet::new();
        for line in self.ask("list").await?.lines() {
            if let Some(path) = line.strip_prefix("/proc/") {
                marked.extend(path.strip_suffix("/environ").and_then(|pid| pid.parse::<u32>().ok()));
            } else {
                table.processes.extend(Process::parse(line));
            }
        }
        table.marked = marked;
        Ok(table)
    }

    /// Sends a signal to processes, as far as they are still the same.
    pub(super) async fn kill(&mut self, signal: u8, processes: &[ProcessId]) -> Result<(), Error> {
        for batch in processes.chunks(BATCH) {
            let words: Vec<String> = batch
                .iter()
                .map(|ProcessId { pid, start }| format!("{pid} {start}"))
                .collect();
            self.ask(&format!("kill {signal} {}", words.join(" "))).await?;
        }
        Ok(())
    }

    /// What can be told of these processes; of those that have gone, nothing.
    pub(super) async fn look(&mut self, pids: &[u32]) -> Result<Vec<(u32, Look)>, Error> {
        let mut looks = Vec::new();
        for batch in pids.chunks(BATCH) {
            let words: Vec<String> = batch.iter().map(u32::to_string).collect();
            let text = self.ask(&format!("look {}", words.join(" "))).await?;
            looks.extend(text.lines().filter_map(parse_look));
        }
        Ok(looks)
    }

    /// Ends the agent, and waits until it has left the container.
    pub(super) async fn leave(mut self) {
        let left = async {
            if self.writer.shutdown().await.is_ok() {
                while self.read(&mut Vec::new()).await.unwrap_or(false) {}
            }
        };
        // It leaves by itself all the same.
        let _ = tokio::time::timeout(LEAVING_TIME, left).await;
    }

    /// Sends a line, and gives the answer without its last line.
    async fn ask(&mut self, line: &str) -> Result<String, Error> {
        let reply = async {
            let sent = self.writer.write_all(format!("{line}\n").as_bytes()).await;
            sent.map_err(|error| failed(&error.to_string()))?;
            self.read_until(|text| text == b".\n" || text.ends_with(b"\n.\n")).await
        };
        let mut text = within(REPLY_TIME, reply).await?;
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
            if text.len() > LARGEST_REPLY {
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
                        let room = LONGEST_COMPLAINT.saturating_sub(self.complaint.len());
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

async fn within<T>(time: Duration, reply: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(time, reply)
        .await
        .unwrap_or_else(|_| Err(failed(&format!("it gave no answer within {} s", time.as_secs()))))
}

fn no_helper(error: &Error) -> Error {
    Error::new(
        ErrorKind::UnsupportedInContainer,
        format!("the container has no shell to look with, and dexec's helper can't be put there: {error}"),
    )
}

fn failed(reason: &str) -> Error {
    Error::new(
        ErrorKind::ConnectionLost,
        format!("the look at the container's processes failed: {reason}"),
    )
}

/// Reads a line `PID UID CLASS`.
fn parse_look(line: &str) -> Option<(u32, Look)> {
    let mut words = line.split_ascii_whitespace();
    let pid = words.next()?.parse().ok()?;
    let uid = words.next()?.parse().ok()?;
    let look = match words.next()? {
        "own" | "other" => Look::Cleared,
        "unreadable" => Look::Unreadable(uid),
        _ => Look::Unknown,
    };
    Some((pid, look))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_read() {
        assert_eq!(parse_look("12 0 own"), Some((12, Look::Cleared)));
        assert_eq!(parse_look("12 0 other"), Some((12, Look::Cleared)));
        assert_eq!(parse_look("12 1000 unreadable"), Some((12, Look::Unreadable(1000))));
        assert_eq!(parse_look("12 0 unknown"), Some((12, Look::Unknown)));
        assert_eq!(parse_look("?"), None);
    }
}
