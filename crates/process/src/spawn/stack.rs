//! The stack of a cloned child, with a guard page below it: an overflow ends the child by SIGSEGV
//! and does not silently overwrite the memory that it shares with its parent.

use std::{ffi::c_void, io, ptr};

use nix::unistd::{SysconfVar, sysconf};

/// A mapping for a stack, which grows downwards to the guard page at its lowest address.
#[derive(Debug)]
pub(super) struct Stack {
    base: *mut c_void,
    mapped_bytes: usize,
}

impl Stack {
    /// Maps a stack of `bytes`, a multiple of the page size.
    pub(super) fn new(bytes: usize) -> io::Result<Self> {
        let page = sysconf(SysconfVar::PAGE_SIZE)?.and_then(|bytes| usize::try_from(bytes).ok());
        let guard_bytes = page.unwrap_or(4096);
        let mapped_bytes = guard_bytes + bytes;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
        // SAFETY: a new anonymous mapping, at an address that the kernel chooses, overlaps no other.
        let base =
            unsafe { libc::mmap(ptr::null_mut(), mapped_bytes, libc::PROT_NONE, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let stack = Self { base, mapped_bytes };
        // SAFETY: the range is the part of the new mapping above the guard page; nothing refers to
        // it yet.
        let result = unsafe {
            libc::mprotect(base.byte_add(guard_bytes), bytes, libc::PROT_READ | libc::PROT_WRITE)
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(stack)
    }

    /// The address just above the stack, where a child begins to use it.
    pub(super) fn top(&self) -> *mut c_void {
        self.base.wrapping_byte_add(self.mapped_bytes)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and no child uses it: the parent is suspended
        // while one does.
        unsafe { libc::munmap(self.base, self.mapped_bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_below_the_stack_cannot_be_accessed() {
        let stack = Stack::new(64 << 10).unwrap();
        let (base, top) = (stack.base.addr(), stack.top().addr());
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        // A neighbouring mapping with the same access may be joined to either of them.
        let access = |address: usize| {
            maps.lines().find_map(|line| {
                let (range, rest) = line.split_once(' ')?;
                let (from, to) = range.split_once('-')?;
                let number = |text| usize::from_str_radix(text, 16).unwrap();
                (number(from)..number(to)).contains(&address).then_some(&rest[..2])
            })
        };
        assert_eq!((access(base), access(top - 1)), (Some("--"), Some("rw")));
        assert_eq!(access(top - (64 << 10)), Some("rw"));
    }
}
