//! Whether this machine can run a stock guest kernel by itself, so that no test host is needed.

use std::fs::{self, OpenOptions};

/// Why guests can't run here, in words for a person; `None` where they can.
///
/// A `/dev/kvm` alone is not enough: there are software KVMs that emulate the guest's kernel and stop at instructions
/// that a stock kernel uses. The CPU's own virtualisation shows as `vmx` or `svm` in `/proc/cpuinfo`.
pub fn why_no_guests() -> Option<String> {
    if let Err(error) = OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        return Some(format!("this host's /dev/kvm does not open ({error})"));
    }
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    if has_virtualisation(&cpuinfo) {
        None
    } else {
        Some("this host's KVM can't run a stock guest kernel (no VMX/SVM)".to_owned())
    }
}

fn has_virtualisation(cpuinfo: &str) -> bool {
    cpuinfo
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(key, _)| key.trim() == "flags")
        .any(|(_, flags)| {
            flags
                .split_whitespace()
                .any(|flag| matches!(flag, "vmx" | "svm"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpuinfo_flags_tell_virtualisation() {
        let check = |cpuinfo, expected| assert_eq!(has_virtualisation(cpuinfo), expected);
        check("processor\t: 0\nflags\t\t: fpu vme svm avx\n", true);
        check("flags\t\t: fpu vmx\n", true);
        check("flags\t\t: fpu svm_lock\nbugs\t\t: vmx\n", false);
        check("vmx flags\t: vnmi\nflags : fpu\n", false);
        check("", false);
    }
}
