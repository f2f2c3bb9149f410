//! Facts are read right from what a kernel prints.

use super::*;

#[test]
fn kernel_version_from_release() {
    let check = |release: &str, expect: (u32, u32)| assert_eq!(version_of(release), expect);
    check("6.1.0-26-amd64", (6, 1));
    check("6.18.44-fc-v657", (6, 18));
    check("5.15", (5, 15));
    check("nonsense", (0, 0));
}

#[test]
fn cpu_flags_are_whole_words() {
    let check = |line: &str, expect: (bool, bool)| {
        let flags = cpu_flags(line);
        assert_eq!((flags.virtualises, flags.in_hypervisor), expect, "{line}");
    };
    check("flags\t: fpu svm lm", (true, false));
    check("flags\t: fpu vmx hypervisor", (true, true));
    check("flags\t: svm_lock vmxnet", (false, false));
    check("", (false, false));
}

#[test]
fn file_that_is_not_what_it_should_be_is_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vmlinux");
    let check = |content: Option<&[u8]>, good: bool| {
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        assert_eq!(begins_with(&path, b"\x7fELF", "not ELF").is_none(), good);
    };
    check(None, false);
    check(Some(b"\x7fELF rest"), true);
    check(Some(b"MZ"), false);
    check(Some(b""), false);
}
