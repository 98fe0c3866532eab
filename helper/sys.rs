//! System calls.

use core::arch::asm;
use core::ffi::CStr;
use core::ptr;

use crate::start::Strings;

#[cfg(target_arch = "x86_64")]
mod number {
    pub const READ: usize = 0;
    pub const WRITE: usize = 1;
    pub const CLOSE: usize = 3;
    pub const MMAP: usize = 9;
    pub const GETPID: usize = 39;
    pub const EXECVE: usize = 59;
    pub const KILL: usize = 62;
    pub const GETEUID: usize = 107;
    pub const GETEGID: usize = 108;
    pub const GETGROUPS: usize = 115;
    pub const SETGROUPS: usize = 116;
    pub const SETRESUID: usize = 117;
    pub const SETRESGID: usize = 119;
    pub const SETFSUID: usize = 122;
    pub const SETFSGID: usize = 123;
    pub const GETDENTS64: usize = 217;
    pub const CLOCK_GETTIME: usize = 228;
    pub const EXIT_GROUP: usize = 231;
    pub const OPENAT: usize = 257;
    pub const UNLINKAT: usize = 263;
    pub const READLINKAT: usize = 267;
    pub const PPOLL: usize = 271;
    pub const PIDFD_SEND_SIGNAL: usize = 424;
    pub const PIDFD_OPEN: usize = 434;
}

#[cfg(target_arch = "aarch64")]
mod number {
    pub const UNLINKAT: usize = 35;
    pub const OPENAT: usize = 56;
    pub const CLOSE: usize = 57;
    pub const GETDENTS64: usize = 61;
    pub const READ: usize = 63;
    pub const WRITE: usize = 64;
    pub const PPOLL: usize = 73;
    pub const READLINKAT: usize = 78;
    pub const EXIT_GROUP: usize = 94;
    pub const CLOCK_GETTIME: usize = 113;
    pub const KILL: usize = 129;
    pub const SETRESUID: usize = 147;
    pub const SETRESGID: usize = 149;
    pub const SETFSUID: usize = 151;
    pub const SETFSGID: usize = 152;
    pub const GETGROUPS: usize = 158;
    pub const SETGROUPS: usize = 159;
    pub const GETPID: usize = 172;
    pub const GETEUID: usize = 175;
    pub const GETEGID: usize = 177;
    pub const EXECVE: usize = 221;
    pub const MMAP: usize = 222;
    pub const PIDFD_SEND_SIGNAL: usize = 424;
    pub const PIDFD_OPEN: usize = 434;
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub u16);

impl Errno {
    pub const EPERM: Self = Self(1);
    pub const ENOENT: Self = Self(2);
    pub const ESRCH: Self = Self(3);
    pub const EINTR: Self = Self(4);
    pub const EAGAIN: Self = Self(11);
    pub const EACCES: Self = Self(13);
    pub const ENOTDIR: Self = Self(20);
    pub const EINVAL: Self = Self(22);
}

/// # Safety
/// The arguments must be valid for this system call.
#[inline(always)]
unsafe fn call(number: usize, arguments: [usize; 6]) -> Result<usize, Errno> {
    let [a, b, c, d, e, f] = arguments;
    let answer: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the kernel changes only what is named here; the caller guarantees the rest.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => answer,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the kernel changes only what is named here; the caller guarantees the rest.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a => answer,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f,
            options(nostack),
        );
    }
    match answer {
        -4095..0 => Err(Errno(answer.unsigned_abs() as u16)),
        _ => Ok(answer as usize),
    }
}

/// Repeats a call while signals interrupt it.
fn restarted(mut call: impl FnMut() -> Result<usize, Errno>) -> Result<usize, Errno> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            answer => return answer,
        }
    }
}

pub fn exit(code: u8) -> ! {
    loop {
        // SAFETY: the call takes a number.
        let _ = unsafe { call(number::EXIT_GROUP, [code.into(), 0, 0, 0, 0, 0]) };
    }
}

/// An open file, which is closed when dropped.
pub struct File(usize);

pub static STDIN: File = File(0);
pub static STDOUT: File = File(1);
pub static STDERR: File = File(2);

impl File {
    pub fn open(path: &CStr) -> Result<Self, Errno> {
        const O_CLOEXEC: usize = 0o2_000_000;
        let path = path.as_ptr().expose_provenance();
        // SAFETY: the path ends with a zero.
        restarted(|| unsafe { call(number::OPENAT, [CURRENT_DIRECTORY, path, O_CLOEXEC, 0, 0, 0]) }).map(Self)
    }

    /// Opens a process. Signals sent to it can't reach another process that has since received the same id.
    pub fn of_process(pid: u32) -> Result<Self, Errno> {
        // SAFETY: the call takes only numbers.
        unsafe { call(number::PIDFD_OPEN, [pid as usize, 0, 0, 0, 0, 0]) }.map(Self)
    }

    /// Sends a signal to the process that `self` refers to.
    pub fn send_signal(&self, signal: u32) -> Result<(), Errno> {
        // SAFETY: with the null, the kernel fills in the signal's information itself.
        unsafe { call(number::PIDFD_SEND_SIGNAL, [self.0, signal as usize, 0, 0, 0, 0]) }.map(drop)
    }

    pub fn read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.fill_by(number::READ, buffer)
    }

    /// Reads until the buffer is full or the file ends.
    pub fn read_full(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let mut length = 0;
        while length < buffer.len() {
            match self.read(&mut buffer[length..])? {
                0 => break,
                more => length += more,
            }
        }
        Ok(length)
    }

    /// Reads entries of the directory that `self` refers to.
    pub fn entries(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.fill_by(number::GETDENTS64, buffer)
    }

    fn fill_by(&self, number: usize, buffer: &mut [u8]) -> Result<usize, Errno> {
        let (address, length) = (buffer.as_mut_ptr().expose_provenance(), buffer.len());
        // SAFETY: the kernel writes only within the buffer.
        restarted(|| unsafe { call(number, [self.0, address, length, 0, 0, 0]) })
    }

    pub fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        let (address, length) = (bytes.as_ptr().expose_provenance(), bytes.len());
        // SAFETY: the kernel reads only these bytes.
        restarted(|| unsafe { call(number::WRITE, [self.0, address, length, 0, 0, 0]) })
    }

    /// Waits until data or the end of the file can be read. Returns false after this many seconds.
    pub fn is_readable_within(&self, seconds: i64) -> bool {
        const POLLIN: i16 = 1;
        self.is_ready_within(POLLIN, seconds)
    }

    /// Waits until `PIPE_BUF` bytes can be written, or an error occurs. Returns false after this many seconds.
    pub fn is_writable_within(&self, seconds: i64) -> bool {
        const POLLOUT: i16 = 4;
        self.is_ready_within(POLLOUT, seconds)
    }

    fn is_ready_within(&self, events: i16, seconds: i64) -> bool {
        #[repr(C)]
        struct Poll {
            file: i32,
            events: i16,
            seen: i16,
        }
        let mut poll = Poll {
            file: self.0 as i32,
            events,
            seen: 0,
        };
        // The kernel stores the remaining time here, so a restarted wait does not begin again.
        let mut time = [seconds, 0];
        let poll = (&raw mut poll).expose_provenance();
        let time = (&raw mut time).expose_provenance();
        // SAFETY: both have the kernel's layout and outlive the call.
        restarted(|| unsafe { call(number::PPOLL, [poll, 1, time, 0, 0, 0]) }) != Ok(0)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: nothing else uses this file descriptor.
        let _ = unsafe { call(number::CLOSE, [self.0, 0, 0, 0, 0, 0]) };
    }
}

/// `AT_FDCWD`, for calls that take a directory to which a path is relative.
const CURRENT_DIRECTORY: usize = -100_isize as usize;

pub fn unlink(path: &CStr) -> Result<(), Errno> {
    // SAFETY: the path ends with a zero.
    unsafe {
        call(
            number::UNLINKAT,
            [CURRENT_DIRECTORY, path.as_ptr().expose_provenance(), 0, 0, 0, 0],
        )
    }
    .map(drop)
}

/// Returns the target of a symbolic link, truncated to the size of the buffer.
pub fn read_link<'a>(path: &CStr, buffer: &'a mut [u8]) -> Result<&'a [u8], Errno> {
    let path = path.as_ptr().expose_provenance();
    let (address, length) = (buffer.as_mut_ptr().expose_provenance(), buffer.len());
    // SAFETY: the path ends with a zero, and the kernel writes only within the buffer.
    let length = unsafe { call(number::READLINKAT, [CURRENT_DIRECTORY, path, address, length, 0, 0]) }?;
    Ok(&buffer[..length])
}

pub fn own_pid() -> u32 {
    id(number::GETPID)
}

pub fn effective_uid() -> u32 {
    id(number::GETEUID)
}

pub fn effective_gid() -> u32 {
    id(number::GETEGID)
}

fn id(number: usize) -> u32 {
    // SAFETY: the calls for ids take no arguments and can't fail.
    unsafe { call(number, [0; 6]) }.map_or(u32::MAX, |id| id as u32)
}

pub fn kill(pid: u32, signal: u32) -> Result<(), Errno> {
    // SAFETY: the call takes only numbers.
    unsafe { call(number::KILL, [pid as usize, signal as usize, 0, 0, 0, 0]) }.map(drop)
}

/// The maximum number of groups of a process.
pub const MOST_GROUPS: usize = 65536;

pub fn groups(buffer: &mut [u32; MOST_GROUPS]) -> Result<&[u32], Errno> {
    let address = buffer.as_mut_ptr().expose_provenance();
    // SAFETY: the kernel writes only within the buffer.
    let length = unsafe { call(number::GETGROUPS, [MOST_GROUPS, address, 0, 0, 0, 0]) }?;
    Ok(&buffer[..length])
}

pub fn set_groups(groups: &[u32]) -> Result<(), Errno> {
    let (address, length) = (groups.as_ptr().expose_provenance(), groups.len());
    // SAFETY: the kernel reads only these groups.
    unsafe { call(number::SETGROUPS, [length, address, 0, 0, 0, 0]) }.map(drop)
}

/// Sets the real, the effective and the saved id.
pub fn set_gid(gid: u32) -> Result<(), Errno> {
    let gid = gid as usize;
    // SAFETY: the call takes only numbers.
    unsafe { call(number::SETRESGID, [gid, gid, gid, 0, 0, 0]) }.map(drop)
}

/// Sets the real, the effective and the saved id.
pub fn set_uid(uid: u32) -> Result<(), Errno> {
    let uid = uid as usize;
    // SAFETY: the call takes only numbers.
    unsafe { call(number::SETRESUID, [uid, uid, uid, 0, 0, 0]) }.map(drop)
}

/// Sets only the effective id.
pub fn set_effective_uid(uid: u32) -> Result<(), Errno> {
    const AS_IT_IS: usize = u32::MAX as usize;
    // SAFETY: the call takes only numbers.
    unsafe { call(number::SETRESUID, [AS_IT_IS, uid as usize, AS_IT_IS, 0, 0, 0]) }.map(drop)
}

/// Sets the user id for file access. Returns false if it was refused, which the kernel does not report.
pub fn set_file_uid(uid: u32) -> bool {
    set_file_id(number::SETFSUID, uid)
}

/// Sets the group id for file access, like [`set_file_uid`].
pub fn set_file_gid(gid: u32) -> bool {
    set_file_id(number::SETFSGID, gid)
}

fn set_file_id(number: usize, id: u32) -> bool {
    // SAFETY: the call takes a number. It returns the previous id, so the second call shows whether the first
    // succeeded.
    unsafe {
        let _ = call(number, [id as usize, 0, 0, 0, 0, 0]);
        call(number, [id as usize, 0, 0, 0, 0, 0]) == Ok(id as usize)
    }
}

/// Uses the clock that includes the time while the machine sleeps, like the kernel's start times of processes.
pub fn microseconds_since_boot() -> u64 {
    const CLOCK_BOOTTIME: usize = 7;
    let mut time = [0_u64; 2];
    let address = (&raw mut time).expose_provenance();
    // SAFETY: the kernel writes two numbers there.
    let _ = unsafe { call(number::CLOCK_GETTIME, [CLOCK_BOOTTIME, address, 0, 0, 0, 0]) };
    let [seconds, nanoseconds] = time;
    seconds * 1_000_000 + nanoseconds / 1000
}

/// Replaces this program with another one. Returns only if that fails.
pub fn execute(path: &CStr, arguments: Strings, environment: Strings) -> Errno {
    let path = path.as_ptr().expose_provenance();
    let arguments = arguments.as_ptr().expose_provenance();
    let environment = environment.as_ptr().expose_provenance();
    // SAFETY: the path ends with a zero, and the kernel itself provided the other arguments.
    match unsafe { call(number::EXECVE, [path, arguments, environment, 0, 0, 0]) } {
        Err(errno) => errno,
        Ok(_) => exit(101),
    }
}

/// A type for which all-zero bytes are a valid value.
///
/// # Safety
/// All-zero bytes must be a valid value of the type.
pub unsafe trait Zeroed: 'static {}

// SAFETY: zeroes are valid numbers.
unsafe impl<const N: usize> Zeroed for [u8; N] {}
// SAFETY: zeroes are valid numbers.
unsafe impl<const N: usize> Zeroed for [u32; N] {}

/// Allocates zeroed memory until the program exits. The stack may be too small for it.
pub fn allocate<T: Zeroed>() -> &'static mut T {
    const READ_AND_WRITE: usize = 1 | 2;
    const PRIVATE_AND_ANONYMOUS: usize = 0x02 | 0x20;
    const NO_FILE: usize = usize::MAX;
    let wanted = [0, size_of::<T>(), READ_AND_WRITE, PRIVATE_AND_ANONYMOUS, NO_FILE, 0];
    // SAFETY: the call takes only numbers, and maps unused addresses.
    match unsafe { call(number::MMAP, wanted) } {
        // SAFETY: the memory is not shared, large enough, page-aligned and zeroed.
        Ok(address) => unsafe { &mut *ptr::with_exposed_provenance_mut(address) },
        Err(_) => exit(101),
    }
}
