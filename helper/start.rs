//! The program's entry point, which calls `main`.

use core::arch::naked_asm;
use core::ffi::{CStr, c_char};

use crate::sys;

#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn _start() -> ! {
    #[cfg(target_arch = "x86_64")]
    naked_asm!("xor ebp, ebp", "mov rdi, rsp", "and rsp, -16", "call {}", "ud2", sym begin);
    #[cfg(target_arch = "aarch64")]
    naked_asm!("mov x29, xzr", "mov x30, xzr", "mov x0, sp", "bl {}", "brk 1", sym begin);
}

/// `stack` points to the kernel's data: the number of arguments, the arguments, a null, the environment, a null.
unsafe extern "C" fn begin(stack: *const usize) -> ! {
    // SAFETY: `stack` is as described, aligned, and valid until the program exits.
    let (arguments, environment) = unsafe {
        let arguments = stack.add(1);
        let environment = arguments.add(stack.read() + 1);
        (Strings(arguments.cast()), Strings(environment.cast()))
    };
    sys::exit(crate::main(arguments, environment))
}

/// An iterator over the arguments or the environment.
///
/// It points into an array of C strings that ends with a null and is valid until the program exits; only `begin`
/// creates one.
#[derive(Clone, Copy)]
pub struct Strings(*const *const c_char);

impl Strings {
    /// The remaining strings in the form that execve(2) takes.
    pub fn as_ptr(self) -> *const *const c_char {
        self.0
    }

    /// Returns the value of an environment variable.
    pub fn value(mut self, name: &[u8]) -> Option<&'static [u8]> {
        self.find_map(|entry| entry.to_bytes().strip_prefix(name)?.strip_prefix(b"="))
    }
}

impl Iterator for Strings {
    type Item = &'static CStr;

    fn next(&mut self) -> Option<&'static CStr> {
        // SAFETY: the array's null is at this position or a later one.
        let string = unsafe { self.0.read() };
        if string.is_null() {
            return None;
        }
        // SAFETY: this string is not the null, so the null is at a later position.
        self.0 = unsafe { self.0.add(1) };
        // SAFETY: see the type's documentation.
        Some(unsafe { CStr::from_ptr(string) })
    }
}
