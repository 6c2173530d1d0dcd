//! The words in which runtimes report that memory ran out. No exit code does.

use memchr::memmem;

/// What runtimes write to stderr, each phrase as short as it can be and still be theirs.
const ON_STDERR: &[&str] = &[
    // Most C libraries and languages: the kernel's error, in two spellings.
    "annot allocate memory",
    "out of memory",
    "Out of memory",
    "memory exhausted",
    // Rust, and what its allocation errors look like as values.
    "memory allocation of",
    // C++.
    "bad_alloc",
    // Python and numpy, Ruby.
    "MemoryError",
    "failed to allocate memory",
    // PyTorch, Lua.
    "can't allocate memory",
    "not enough memory",
    // Node: buffers, WebAssembly, and worker threads. (Its heap is out of memory.)
    "Array buffer allocation failed",
    "could not allocate memory",
    "ERR_MEMORY_ALLOCATION_FAILED",
    "reaching memory limit",
    // Bun.
    "run out of memory",
    // Java and .NET.
    "OutOfMemory",
    "os::commit_memory",
    // PHP.
    "Allowed memory size of",
    // R.
    "annot allocate vector of size",
    "vector memory limit of",
    // Haskell, OCaml, Erlang.
    "heap exhausted",
    "Out_of_memory",
    "eheap_alloc: Cannot allocate",
];
/// What runtimes write to stdout.
const ON_STDOUT: &[&str] = &[
    // Java.
    "There is insufficient memory for the Java Runtime Environment",
    "Could not reserve enough space for",
    // PHP.
    "Allowed memory size of",
];

/// Whether the last output of a program, on stdout and on stderr, says that memory ran out, in the
/// words of common runtimes.
#[must_use]
pub fn says_out_of_memory([stdout, stderr]: [&[u8]; 2]) -> bool {
    let says = |output, phrases: &[&str]| {
        phrases.iter().any(|phrase| memmem::find(output, phrase.as_bytes()).is_some())
    };
    says(stderr, ON_STDERR) || says(stdout, ON_STDOUT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_common_runtimes_are_known() {
        for words in [
            "memory allocation of 1048576 bytes failed",
            "terminate called after throwing an instance of 'std::bad_alloc'",
            "fatal error: runtime: out of memory",
            "runtime: cannot allocate memory",
            "fork/exec /bin/true: cannot allocate memory",
            "MemoryError",
            "numpy.core._exceptions._ArrayMemoryError: Unable to allocate 7.45 GiB for an array",
            "RuntimeError: [enforce fail at alloc_cpu.cpp:75] DefaultCPUAllocator: can't allocate memory",
            "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
            "RangeError: Array buffer allocation failed",
            "RangeError: WebAssembly.Memory(): could not allocate memory",
            "Error [ERR_WORKER_OUT_OF_MEMORY]: Worker terminated due to reaching memory limit",
            "Exception in thread \"main\" java.lang.OutOfMemoryError: Java heap space",
            "OpenJDK 64-Bit Server VM warning: INFO: os::commit_memory(0x, 1, 0) failed",
            "Unhandled exception. System.OutOfMemoryException",
            "[FATAL] failed to allocate memory",
            "bomb.rb:1:in `*': failed to allocate memory (NoMemoryError)",
            "PHP Fatal error:  Allowed memory size of 134217728 bytes exhausted (tried to allocate",
            "PHP Fatal error:  Out of memory (allocated 2097152) (tried to allocate 16384 bytes)",
            "Error: cannot allocate vector of size 7.5 Gb",
            "Error: vector memory limit of 16.0 Gb reached, see mem.maxVSize()",
            "Out of memory in perl:util:safesysrealloc",
            "lua: not enough memory",
            "Fatal error: exception Out_of_memory",
            "eheap_alloc: Cannot allocate 1781763260 bytes of memory (of type \"heap\").",
            "cc1: out of memory allocating 65536 bytes",
            "tar: memory exhausted",
        ] {
            assert!(says_out_of_memory([b"", words.as_bytes()]), "{words}");
        }
        for words in [
            "# There is insufficient memory for the Java Runtime Environment to continue.",
            "Could not reserve enough space for 2097152KB object heap",
            "PHP Fatal error:  Allowed memory size of 134217728 bytes exhausted",
        ] {
            assert!(says_out_of_memory([words.as_bytes(), b""]), "{words}");
        }
    }

    #[test]
    fn other_words_say_nothing() {
        for words in ["", "memory", "allocation failed: no address left", "disk full"] {
            assert!(!says_out_of_memory([words.as_bytes(), words.as_bytes()]), "{words}");
        }
        assert!(!says_out_of_memory([b"MemoryError", b""]), "a program prints what it likes");
    }
}
