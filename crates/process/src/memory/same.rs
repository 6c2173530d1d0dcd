//! Whether two processes use the same memory, as a parent and its child do between a vfork and the
//! exec.

use crate::proc::read;

/// Whether two processes use the same memory. Where the kernel does not compare them, as in some
/// containers, those with the same figures count as the same.
pub(super) fn have_same_memory(one: i32, other: i32) -> bool {
    const KCMP_VM: libc::c_int = 1;
    // SAFETY: kcmp takes five integers here and accesses no memory of this process.
    match unsafe { libc::syscall(libc::SYS_kcmp, one, other, KCMP_VM, 0, 0) } {
        0 => true,
        1.. => false,
        _ => {
            let [one, other] = [one, other].map(|pid| read::text(format!("/proc/{pid}/statm")));
            one.is_some() && one == other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_the_memory_of_itself_and_of_no_other_program() {
        let own = std::process::id().cast_signed();
        assert!(have_same_memory(own, own));
        let mut other = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        assert!(!have_same_memory(own, other.id().cast_signed()));
        other.kill().unwrap();
        other.wait().unwrap();
        assert!(!have_same_memory(own, other.id().cast_signed()));
    }
}
