//! Notes before `main` whether stdout is closed. Only the binary contains this, so that programs
//! that link the library run no code before their own `main`.

#![expect(unsafe_code, reason = "a function pointer in a section that the C library reads")]

/// The C library calls each function in this section before `main`, and before the standard library
/// replaces a closed standard stream by `/dev/null`.
// SAFETY: the section consists of pointers to functions of this kind; the function only makes a
// system call and stores the result in an atomic, which needs nothing that `main` sets up.
#[used]
#[unsafe(link_section = ".init_array")]
static NOTE_IF_CLOSED: extern "C" fn() = process::stdout::note_if_closed;
