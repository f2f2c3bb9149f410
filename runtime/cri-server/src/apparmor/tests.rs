//! Tests of the search for profiles, in a folder that looks like the kernel's.

use super::*;

/// Names as an administrator may give them.
const LIST: &str =
    "/usr/bin/man (enforce)\nmine (complain)\nmine//hat (enforce)\nwith (odd) name (enforce)\n";

struct Kernel(tempfile::TempDir);

impl Kernel {
    fn on() -> Self {
        let kernel = Self(tempfile::tempdir().unwrap());
        kernel.write("enabled", b"Y\n");
        kernel.write("profiles", LIST.as_bytes());
        kernel
    }

    fn write(&self, path: &str, content: &[u8]) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn look(&self, profile: &str, kind: PodKind) -> Result<Option<Vec<u8>>, Status> {
        let root = self.0.path();
        look(profile, kind, (&root.join("enabled"), root))
            .map_err(|missing| refusal(profile, &missing))
    }

    fn check_refused(&self, profile: &str, kind: PodKind, words: &str) {
        let status = self.look(profile, kind).unwrap_err();
        assert_eq!(status.code(), tonic::Code::FailedPrecondition, "{status}");
        let text = status.message();
        assert!(text.contains(&format!("{profile:?}")), "{status}");
        assert!(text.contains(words), "{status}");
    }
}

#[test]
fn profile_has_to_be_loaded_on_a_node_that_has_apparmor() {
    for kind in [PodKind::Vm, PodKind::Host] {
        let kernel = Kernel(tempfile::tempdir().unwrap());
        kernel.check_refused("mine", kind, "has no AppArmor");
        kernel.write("enabled", b"N\n");
        kernel.check_refused("mine", kind, "it is off");
        let kernel = Kernel::on();
        kernel.check_refused("min", kind, "is not loaded");
        kernel.check_refused("with", kind, "is not loaded");
    }
    let kernel = Kernel::on();
    for profile in ["mine", "with (odd) name", "mine//hat"] {
        assert_eq!(kernel.look(profile, PodKind::Host).unwrap(), None);
    }
}

#[test]
fn guest_is_given_what_the_kernel_has_loaded() {
    let kernel = Kernel::on();
    kernel.write("policy/profiles/usr.bin.man.1/name", b"/usr/bin/man\n");
    kernel.write("policy/profiles/usr.bin.man.1/raw_data", b"of man");
    kernel.write("policy/profiles/mine.2/name", b"mine\n");
    kernel.write("policy/profiles/mine.2/raw_data", b"of mine");
    kernel.write("policy/profiles/with_odd_name.3/name", b"with (odd) name\n");
    let check = |profile, policy: &[u8]| {
        let found = kernel.look(profile, PodKind::Vm).unwrap();
        assert_eq!(found.as_deref(), Some(policy));
    };
    check("mine", b"of mine");
    check("mine//hat", b"of mine");
    check("/usr/bin/man", b"of man");
    kernel.check_refused("with (odd) name", PodKind::Vm, "EXPORT_BINARY");
    let large = usize::try_from(limits::MOST_APPARMOR_BYTES).unwrap() + 1;
    kernel.write("policy/profiles/mine.2/raw_data", &vec![0; large]);
    kernel.check_refused("mine", PodKind::Vm, "more than 3145728 bytes");
}

#[test]
fn kernel_that_tells_names_only_is_named() {
    Kernel::on().check_refused("mine", PodKind::Vm, "EXPORT_BINARY");
}
