//! What this host has. A test that needs something asks here first, and a missing one is said aloud: see [`skip`].

use std::fs::{self, OpenOptions};

/// A need of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// User 0.
    Root,
    /// `/dev/kvm` opens: VMs can be made, which may be all that a test of the API needs.
    Kvm,
    /// The CPU has VMX or SVM, so that a stock kernel runs in a VM.
    Virtualisation,
}

impl Need {
    /// Why it is missing, in words for a person; `None` where it is there.
    pub fn missing(self) -> Option<String> {
        match self {
            Need::Root => {
                (!rustix::process::geteuid().is_root()).then(|| "this user is not root".to_owned())
            }
            Need::Kvm => OpenOptions::new()
                .read(true)
                .write(true)
                .open("/dev/kvm")
                .err()
                .map(|error| format!("/dev/kvm does not open: {error}")),
            Need::Virtualisation => {
                let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
                let has = cpuinfo
                    .split_whitespace()
                    .any(|word| matches!(word, "vmx" | "svm"));
                (!has).then(|| "this CPU has neither VMX nor SVM".to_owned())
            }
        }
    }
}

/// Whether the calling test is to be left out; if so, that is printed with the reason.
pub fn skip(test: &str, needs: &[Need]) -> bool {
    let missing = needs.iter().find_map(|need| need.missing());
    if let Some(reason) = &missing {
        eprintln!("SKIPPED {test}: {reason}");
    }
    missing.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_without_needs_is_not_skipped() {
        assert!(!skip("nothing", &[]));
    }

    #[test]
    fn test_is_skipped_exactly_when_a_need_is_missing() {
        for need in [Need::Root, Need::Kvm, Need::Virtualisation] {
            assert_eq!(skip("probe", &[need]), need.missing().is_some(), "{need:?}");
        }
    }
}
