//! Only the monitor's own calls count, each once, until its first KVM_RUN.

use super::count;

const TRACE: &str = "\
10 execve(\"/bin/sh\", [\"sh\"], 0x0 /* 3 vars */) = 0
10 read(0, \"\", 1) = 0
10 execve(\"/dist/cofferdam-vmm\", [\"cofferdam-vmm\"], 0x0 /* 3 vars */) = 0
10 brk(NULL) = 0x1000
9 write(1, \"x\", 1) = 1
10 clone(child_stack=NULL, flags=SIGCHLD <unfinished ...>
11 getpid() = 1
10 <... clone resumed>) = 11
11 ioctl(5, KVM_CREATE_VM, 0) = 6
10 exit_group(0) = ?
10 +++ exited with 0 +++
11 clone3({flags=CLONE_VM, child_tid=0x0}, 88) = 12
12 ioctl(7, KVM_RUN, 0) = 0
11 close(3) = 0
";

#[test]
fn calls_of_the_monitor_until_its_first_run() {
    // execve, brk, clone, KVM_CREATE_VM, exit_group, clone3. The child's getpid came before its birth was known.
    assert_eq!(count(TRACE, "cofferdam-vmm"), Some(6));
    assert_eq!(count(TRACE, "qemu"), None);
    assert_eq!(count("", "cofferdam-vmm"), None);
}
