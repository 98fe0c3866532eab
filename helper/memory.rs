//! The functions of a C library that compiled Rust code needs.

use core::ffi::c_char;

// SAFETY of all functions: the names and the parameters have the same meaning as in C.

#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    for at in 0..length {
        // SAFETY: both are `length` long.
        unsafe { to.add(at).write(from.add(at).read()) };
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    if to.cast_const() < from {
        // SAFETY: guaranteed by the caller, and copying upwards reads each byte before it is overwritten.
        return unsafe { memcpy(to, from, length) };
    }
    for at in (0..length).rev() {
        // SAFETY: both are `length` long.
        unsafe { to.add(at).write(from.add(at).read()) };
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, length: usize) -> *mut u8 {
    for at in 0..length {
        // SAFETY: it is `length` long.
        unsafe { to.add(at).write(byte.to_le_bytes()[0]) };
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, length: usize) -> i32 {
    for at in 0..length {
        // SAFETY: both are `length` long.
        let (left, right) = unsafe { (left.add(at).read(), right.add(at).read()) };
        if left != right {
            return i32::from(left) - i32::from(right);
        }
    }
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, length: usize) -> i32 {
    // SAFETY: guaranteed by the caller.
    unsafe { memcmp(left, right, length) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(string: *const c_char) -> usize {
    let mut length = 0;
    // SAFETY: the string's terminating zero is at this position or a later one.
    while unsafe { string.add(length).read() } != 0 {
        length += 1;
    }
    length
}
