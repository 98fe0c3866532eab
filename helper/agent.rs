//! Looks for a command's processes and sends signals to them, as the client asks line by line.

use core::iter;

use crate::environ::{self, Origin};
use crate::lines::{Line, Lines};
use crate::output::Output;
use crate::proc::{self, Processes, Stat};
use crate::start::Strings;
use crate::sys::{self, Errno, File};
use crate::text;

pub fn run(mut arguments: Strings) -> u8 {
    let Some(marker) = arguments.next().and_then(|marker| Marker::of(marker.to_bytes())) else {
        return crate::misused(b"agent NAME=VALUE");
    };
    let mut output = Output::stdout();
    output.bytes(b"ready ").number(sys::own_pid()).end_line();
    output.flush();

    let mut lines = Lines::of_stdin();
    loop {
        let line = match lines.next() {
            Line::Whole(line) => line,
            Line::TooLong => return crate::MISUSED,
            Line::None => return 0,
        };
        match obey(line, &marker, &mut output) {
            Some(Ok(())) => {}
            Some(Err(errno)) => {
                // What there is of the answer could be taken for all of it.
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

/// The entry that a command's processes have in their environment.
struct Marker<'a> {
    entry: &'a [u8],
    /// The name with its `=`.
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

/// Does what the line says. None where it makes no sense, and nothing was done.
fn obey(line: &[u8], marker: &Marker<'_>, output: &mut Output) -> Option<Result<(), Errno>> {
    let mut words = line.split(|&byte| byte == b' ');
    match words.next()? {
        b"list" if words.next().is_none() => return Some(list(marker, output)),
        b"kill" => {
            let signal = text::small_number(words.next()?)?;
            check(targets(words.clone()))?;
            for (pid, start) in targets(words).flatten() {
                send_signal(signal, pid, start);
            }
        }
        b"look" => {
            check(words.clone().map(process))?;
            for pid in words.filter_map(process) {
                look(pid, marker, output);
            }
        }
        _ => return None,
    }
    Some(Ok(()))
}

/// None where there is no item, or one that makes no sense.
fn check<T>(items: impl Iterator<Item = Option<T>>) -> Option<()> {
    let mut items = items.peekable();
    items.peek()?;
    items.try_for_each(|item| item.map(drop))
}

/// Processes, each with its start.
fn targets<'a>(mut words: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = Option<(u32, u64)>> {
    iter::from_fn(move || {
        let (pid, start) = (words.next()?, words.next());
        Some(process(pid).zip(start.and_then(text::number)))
    })
}

/// The number of one process: the kernel takes zero and negative ones for several.
fn process(word: &[u8]) -> Option<u32> {
    text::small_number(word).filter(|&pid| pid > 0 && i32::try_from(pid).is_ok())
}

/// First the marked ones; then all, so that a marked one's relatives that came in between are there too.
fn list(marker: &Marker<'_>, output: &mut Output) -> Result<(), Errno> {
    let own_pid = sys::own_pid();
    let mut processes = Processes::all()?;
    while let Some(pid) = processes.next()? {
        if pid != own_pid && environ::has_entry(pid, marker.entry).unwrap_or(false) {
            output.bytes(b"/proc/").number(pid).bytes(b"/environ").end_line();
        }
    }
    let mut processes = Processes::all()?;
    while let Some(pid) = processes.next()? {
        if let Some(stat) = Stat::of(pid) {
            output.in_line(stat.as_bytes()).end_line();
        }
    }
    Ok(())
}

/// What comes of it is not told: whether the process is gone, the next list shows.
fn send_signal(signal: u32, pid: u32, start: u64) {
    let process = File::of_process(pid);
    if process.as_ref().err() == Some(&Errno::ESRCH) || Stat::of(pid).and_then(|stat| stat.start_time()) != Some(start)
    {
        return;
    }
    // An old kernel does not have these calls, and a filter for calls can refuse them with any error.
    if process
        .and_then(|process| process.send_signal(signal))
        .is_err_and(|errno| errno != Errno::ESRCH)
    {
        let _ = sys::kill(pid, signal);
    }
}

fn look(pid: u32, marker: &Marker<'_>, output: &mut Output) {
    let origin = Origin::of(pid, marker.variable);
    if let Some(user) = proc::user(pid) {
        output
            .number(pid)
            .bytes(b" ")
            .number(user)
            .bytes(b" ")
            .bytes(origin.name())
            .end_line();
    }
}
