//! Runs a command with groups that its user does not have. It is started as root, and switches to the user here.

use core::ffi::CStr;

use crate::group_file;
use crate::output::Output;
use crate::own_file;
use crate::start::Strings;
use crate::sys::{self, Errno};
use crate::text::{self, Path};

/// Exit codes as the engines use them: 125 for the helper's errors, 126 for a command that can't be executed, 127 for a
/// command that does not exist.
const FAILED: u8 = 125;
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The longest path that the kernel accepts, including the terminating zero.
const LONGEST_PATH: usize = 4096;

/// Prints the user, groups and home directory that a command has without the added groups.
pub fn identity(environment: Strings) -> u8 {
    let mut output = Output::stdout();
    output.bytes(b"euid: ").number(sys::effective_uid()).end_line();
    output.bytes(b"egid: ").number(sys::effective_gid()).end_line();
    output.bytes(b"Supplementary groups: ");
    let groups = match sys::groups(sys::allocate()) {
        Ok(groups) => groups,
        Err(errno) => return refused(errno),
    };
    if groups.is_empty() {
        output.bytes(b"[none]");
    }
    for (index, &group) in groups.iter().enumerate() {
        if index > 0 {
            output.bytes(b",");
        }
        output.number(group);
    }
    output.end_line();
    output
        .bytes(b"home: ")
        .bytes(environment.value(b"HOME").unwrap_or_default())
        .end_line();
    0
}

/// Executes the program that the arguments name, with the user and the groups that they name. Without a program it only
/// checks whether the user and the groups can be set.
pub fn run(mut arguments: Strings, environment: Strings) -> u8 {
    // The kernel interprets the largest number as "unchanged", which would be root.
    let mut number = || text::small_number(arguments.next()?.to_bytes()).filter(|&id| id != u32::MAX);
    let (uid, gid) = (number(), number());
    let (Some(uid), Some(gid), Some(groups)) = (uid, gid, arguments.next()) else {
        crate::misused(b"groups UID GID GROUP[,GROUP]... [PROGRAM [ARG]...]");
        return FAILED;
    };
    let command = arguments;
    let program = arguments.next();
    if program.is_some() {
        // Needs root. If it fails, the command must still run.
        let _ = own_file::unlink();
    }
    match resolve(groups.to_bytes()).and_then(|groups| become_user(uid, gid, groups).map_err(Failure::Refused)) {
        Ok(()) => {}
        Err(Failure::Unknown(name)) => {
            let mut complaint = Output::stderr();
            complaint
                .bytes(b"dexec: the group ")
                .in_line(name)
                .bytes(b" is not in /etc/group")
                .end_line();
            return FAILED;
        }
        Err(Failure::Refused(errno)) => return refused(errno),
    }
    match program {
        Some(program) => not_executed(program, execute(program, command, environment)),
        None => 0,
    }
}

enum Failure<'a> {
    Unknown(&'a [u8]),
    Refused(Errno),
}

fn resolve(list: &[u8]) -> Result<&'static [u32], Failure<'_>> {
    let groups: &'static mut [u32; sys::MOST_GROUPS] = sys::allocate();
    let mut length = 0;
    for name in list.split(|&byte| byte == b',') {
        let is_number = !name.is_empty() && name.iter().all(u8::is_ascii_digit);
        let group = if is_number {
            text::small_number(name)
        } else {
            group_file::find(name)
        };
        let place = groups.get_mut(length).ok_or(Failure::Refused(Errno::EINVAL))?;
        *place = group.ok_or(Failure::Unknown(name))?;
        length += 1;
    }
    Ok(&groups[..length])
}

fn become_user(uid: u32, gid: u32, groups: &[u32]) -> Result<(), Errno> {
    sys::set_groups(groups)?;
    sys::set_gid(gid)?;
    sys::set_uid(uid)
}

/// Follows the rules of C's `execvp`, but never uses a shell.
fn execute(program: &CStr, command: Strings, environment: Strings) -> Errno {
    let name = program.to_bytes();
    if name.is_empty() || name.contains(&b'/') {
        return sys::execute(program, command, environment);
    }
    let mut failure = Errno::ENOENT;
    let directories = environment.value(b"PATH").unwrap_or(DEFAULT_PATH);
    for directory in directories.split(|&byte| byte == b':') {
        let separator: &[u8] = if directory.is_empty() { b"" } else { b"/" };
        let Some(path) = Path::<LONGEST_PATH>::of(&[directory, separator, name]) else {
            continue;
        };
        match sys::execute(path.as_c_str(), command, environment) {
            Errno::ENOENT | Errno::ENOTDIR => {}
            Errno::EACCES => failure = Errno::EACCES,
            errno => return errno,
        }
    }
    failure
}

fn refused(errno: Errno) -> u8 {
    Output::stderr()
        .bytes(b"dexec: groups can't be set: errno ")
        .number(errno.0)
        .end_line();
    FAILED
}

fn not_executed(program: &CStr, errno: Errno) -> u8 {
    let mut complaint = Output::stderr();
    complaint
        .bytes(b"dexec: failed to execute ")
        .in_line(program.to_bytes())
        .bytes(b": ");
    match errno {
        Errno::ENOENT => complaint.bytes(b"No such file or directory"),
        Errno::EACCES => complaint.bytes(b"Permission denied"),
        Errno(number) => complaint.bytes(b"errno ").number(number),
    };
    complaint.end_line();
    if errno == Errno::ENOENT {
        NOT_FOUND
    } else {
        NOT_EXECUTABLE
    }
}
