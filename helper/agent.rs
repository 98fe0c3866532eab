//! Lists a container's processes, reports which have a command's marker, and sends signals. The client sends one
//! request per line.

use core::iter;

use crate::environ::{self, Sign};
use crate::lines::{Line, Lines};
use crate::output::Output;
use crate::own_file;
use crate::proc::{self, Cgroup, Owner, Processes, Stat};
use crate::sys::{self, Errno, File};
use crate::text::{self, Path};

/// The longest path that the kernel accepts, including the terminating zero.
const LONGEST_PATH: usize = 4096;

pub fn run() -> u8 {
    // The program runs without its file, so no file is left behind, however the program ends.
    let is_unlinked = own_file::unlink().is_ok();
    let mut output = Output::stdout();
    output
        .bytes(b"ready ")
        .number(sys::own_pid())
        .bytes(b" ")
        .number(sys::effective_uid())
        .bytes(if proc::can_act_as_others() { b" any" } else { b" own" })
        .bytes(if is_unlinked { b" unlinked" } else { b" linked" })
        .end_line();
    output.flush();

    let mut lines = Lines::of_stdin();
    loop {
        let line = match lines.next() {
            Line::Whole(line) => line,
            Line::TooLong => return crate::MISUSED,
            Line::None => return 0,
        };
        match obey(line, &mut output) {
            Some(Ok(())) => {}
            Some(Err(errno)) => {
                // The client could mistake a partial answer for a complete one.
                let mut complaint = Output::stderr();
                complaint
                    .bytes(b"dexec: /proc can't be read: errno ")
                    .number(errno.0)
                    .end_line();
                return 1;
            }
            None => output.bytes(b"?").end_line(),
        }
        output.bytes(b".").end_line();
        output.flush();
    }
}

/// The entry in the environment that marks a command's processes.
struct Marker<'a> {
    entry: &'a [u8],
    /// The name, including the `=`.
    variable: &'a [u8],
}

impl<'a> Marker<'a> {
    fn of(entry: &'a [u8]) -> Option<Self> {
        let equals = entry.iter().position(|&byte| byte == b'=').filter(|&at| at > 0)?;
        Some(Self {
            entry,
            variable: &entry[..=equals],
        })
    }
}

/// Executes the request in a line. Returns `None`, without doing anything, if the line is invalid.
fn obey(line: &[u8], output: &mut Output) -> Option<Result<(), Errno>> {
    let mut words = line.split(|&byte| byte == b' ');
    match words.next()? {
        b"clock" if words.next().is_none() => output.number(sys::microseconds_since_boot()).end_line(),
        b"list" => {
            let marker = Marker::of(words.next()?)?;
            let since = text::number(words.next()?)?;
            if words.next().is_some() {
                return None;
            }
            return Some(list(since, &marker, output));
        }
        b"kill" => {
            let signal = text::small_number(words.next()?)?;
            check(targets(words.clone()))?;
            for (pid, start) in targets(words).flatten() {
                send_signal(signal, pid, start, output);
            }
        }
        b"look" => {
            let marker = Marker::of(words.next()?)?;
            let first = process(words.next()?)?;
            check(words.clone().map(process))?;
            for pid in words.filter_map(process) {
                look(pid, first, &marker, output);
            }
        }
        b"unlink" => {
            let path = Path::<LONGEST_PATH>::of(&[words.next()?])?;
            // The result is not reported: nothing more can be done.
            let _ = sys::unlink(path.as_c_str());
        }
        _ => return None,
    }
    Some(Ok(()))
}

/// Returns `None` if there are no items or one of them is invalid.
fn check<T>(items: impl Iterator<Item = Option<T>>) -> Option<()> {
    let mut items = items.peekable();
    items.peek()?;
    items.try_for_each(|item| item.map(drop))
}

/// Parses processes, each with its start time.
fn targets<'a>(mut words: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = Option<(u32, u64)>> {
    iter::from_fn(move || {
        let (pid, start) = (words.next()?, words.next());
        Some(process(pid).zip(start.and_then(text::number)))
    })
}

/// Parses the id of one process. The kernel interprets zero and negative ids as several processes.
fn process(word: &[u8]) -> Option<u32> {
    text::small_number(word).filter(|&pid| pid > 0 && i32::try_from(pid).is_ok())
}

/// Writes a line `SIGN UID PLACE STAT` for each process. For a process that started before `since`, only its stat line
/// is read.
fn list(since: u64, marker: &Marker<'_>, output: &mut Output) -> Result<(), Errno> {
    let cgroup = Cgroup::own();
    let mut processes = Processes::all()?;
    while let Some(pid) = processes.next()? {
        let Some(stat) = Stat::of(pid) else { continue };
        if stat.start_time().is_some_and(|start| start >= since)
            && let Some(owner) = Owner::of(pid)
        {
            let sign = Sign::of(pid, &owner, marker.entry, marker.variable);
            output.bytes(sign.name()).bytes(b" ").number(owner.uid).bytes(b" ");
            output.bytes(if cgroup.holds(pid) { b"in " } else { b"out " });
        } else {
            output.bytes(b"- - - ");
        }
        output.in_line(stat.as_bytes()).end_line();
    }
    Ok(())
}

/// Writes a line `PID ERRNO` if the signal was refused. It is no error if the process no longer exists.
fn send_signal(signal: u32, pid: u32, start: u64, output: &mut Output) {
    let process = File::of_process(pid);
    if process.as_ref().err() == Some(&Errno::ESRCH) || Stat::of(pid).and_then(|stat| stat.start_time()) != Some(start)
    {
        return;
    }
    let send = || {
        // Old kernels do not have these system calls, and a seccomp filter can refuse them with any error.
        match process.as_ref().map(|process| process.send_signal(signal)) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Errno::ESRCH)) => Err(Errno::ESRCH),
            _ => sys::kill(pid, signal),
        }
    };
    let mut sent = send();
    if sent == Err(Errno::EPERM)
        && let Some(owner) = Owner::of(pid)
    {
        // Without the capability to signal processes of all users, root can still switch to the process's owner, who
        // may.
        sent = proc::as_user(owner.uid, send).unwrap_or(sent);
    }
    if let Err(errno) = sent
        && errno != Errno::ESRCH
    {
        output.number(pid).bytes(b" ").number(errno.0).end_line();
    }
}

/// Writes a line `PID SIGN`, where the sign may also be `own`: started by one of the container's own processes.
fn look(pid: u32, first: u32, marker: &Marker<'_>, output: &mut Output) {
    let Some(owner) = Owner::of(pid) else { return };
    let sign = match Sign::of(pid, &owner, marker.entry, marker.variable) {
        Sign::None if environ::has_all_of(pid, first).unwrap_or(false) => b"own",
        sign => sign.name(),
    };
    output.number(pid).bytes(b" ").bytes(sign).end_line();
}
