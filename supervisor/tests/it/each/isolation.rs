//! Commands that harm neither another job nor their launcher.

use std::{fs, io::Write};

use crate::support::{Run, until};

#[test]
fn a_holder_of_a_commands_output_writes_into_no_other_jobs_output() {
    let script = "echo begin $$ >> held; until rm go{} 2>&-; do sleep 0.01; done; echo end {}";
    let run = Run::each_sh(script).with("-j 1 -k");
    let held = run.scratch.file("held", "", 0o644);
    let run = run.given(["1", "2"]).start();
    let go = |job: u32| fs::write(run.scratch_path().join(format!("go{job}")), "").unwrap();
    let pid =
        || Some(fs::read_to_string(&held).ok()?.lines().next()?.split(' ').nth(1)?.to_owned());
    until("the first command", || pid().is_some());
    let stdout = format!("/proc/{}/fd/1", pid().unwrap());
    let mut holder = fs::File::options().write(true).open(stdout).unwrap();
    go(1);
    until("the second command", || fs::read_to_string(&held).unwrap().lines().count() == 2);
    let _ = holder.write_all(b"EVIL\n");
    go(2);
    let run = run.finish();
    assert_eq!(run.stdout_text(), "end 1\nend 2\n", "{}", run.stderr);
}

#[test]
fn a_forged_continue_signal_harms_no_launcher() {
    let forge = "import ctypes, os, sys, time\n\
                 class Info(ctypes.Structure):\n _fields_ = [('signo', ctypes.c_int), ('errno', ctypes.c_int), \
                 ('code', ctypes.c_int), ('pad', ctypes.c_int), ('pid', ctypes.c_int), ('uid', ctypes.c_int), \
                 ('value', ctypes.c_uint64), ('rest', ctypes.c_char * 96)]\n\
                 launcher = os.getppid()\n\
                 supervisor = int(open(f'/proc/{launcher}/stat').read().rsplit(')', 1)[1].split()[1])\n\
                 info = Info(18, 0, -1, 0, supervisor, os.getuid(), 2**64 - 1)\n\
                 for n in range(20):\n ctypes.CDLL(None).syscall(129, launcher, 18, ctypes.byref(info))\n time.sleep(0.005)";
    let run = Run::each(["python3", "-S", "-c", forge]).with("-j 1").jsonl().given(["x"]).finish();
    assert_eq!((run.statuses(), run.code()), (vec!["ok".into()], Some(0)), "{}", run.stderr);
}
