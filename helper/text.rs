//! Conversion between numbers and text, and concatenation of paths.

use core::ffi::CStr;

/// Parses a number that consists only of digits.
pub fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| byte - b'0')?;
        number.checked_mul(10)?.checked_add(digit.into())
    })
}

/// Like [`number`], with a limit of 32 bits.
pub fn small_number(digits: &[u8]) -> Option<u32> {
    number(digits).and_then(|number| number.try_into().ok())
}

/// The decimal digits of a number.
pub struct Digits {
    bytes: [u8; 20],
    start: usize,
}

impl Digits {
    pub fn of(mut number: u64) -> Self {
        let mut digits = Self {
            bytes: [b'0'; 20],
            start: 20,
        };
        loop {
            digits.start -= 1;
            digits.bytes[digits.start] += (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return digits;
            }
        }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

/// A zero-terminated path in a buffer of `N` bytes.
pub struct Path<const N: usize>([u8; N]);

impl<const N: usize> Path<N> {
    /// Concatenates the parts. Returns `None` if they are too long.
    pub fn of(parts: &[&[u8]]) -> Option<Self> {
        let mut bytes = [0; N];
        let mut length = 0;
        for part in parts {
            let end = length + part.len();
            bytes.get_mut(length..end)?.copy_from_slice(part);
            length = end;
        }
        // Leaves room for the terminating zero.
        (length < N).then_some(Self(bytes))
    }

    pub fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default()
    }
}
