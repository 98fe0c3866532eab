//! From the kernel's start of the program to `main`.

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

/// `stack` is what the kernel left there: the number of arguments, these, a null, the environment, a null.
unsafe extern "C" fn begin(stack: *const usize) -> ! {
    // SAFETY: `stack` is as described, aligned, and stays as long as the program.
    let (arguments, environment) = unsafe {
        let arguments = stack.add(1);
        let environment = arguments.add(stack.read() + 1);
        (Strings(arguments.cast()), Strings(environment.cast()))
    };
    sys::exit(crate::main(arguments, environment))
}

/// Those of the arguments, or of the environment, that were not taken yet.
///
/// It points into an array of C strings that ends with a null and stays as long as the program; only `begin` makes one.
#[derive(Clone, Copy)]
pub struct Strings(*const *const c_char);

impl Strings {
    /// As the kernel takes it for a new program.
    pub fn as_ptr(self) -> *const *const c_char {
        self.0
    }

    /// The value of a variable.
    pub fn value(mut self, name: &[u8]) -> Option<&'static [u8]> {
        self.find_map(|entry| entry.to_bytes().strip_prefix(name)?.strip_prefix(b"="))
    }
}

impl Iterator for Strings {
    type Item = &'static CStr;

    fn next(&mut self) -> Option<&'static CStr> {
        // SAFETY: the array has its null at this place or a later one.
        let string = unsafe { self.0.read() };
        if string.is_null() {
            return None;
        }
        // SAFETY: the null is still to come.
        self.0 = unsafe { self.0.add(1) };
        // SAFETY: see the type.
        Some(unsafe { CStr::from_ptr(string) })
    }
}
