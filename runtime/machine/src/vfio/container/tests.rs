//! Descriptors that are no VFIO: what works with real ones needs an IOMMU, and is tested end to end.

use std::{
    fs::File,
    os::fd::{AsFd, OwnedFd},
};

use super::{Container, account_by_process};
use crate::{
    kvm::tests::vm_or_skip,
    vfio::{KvmGroups, VfioError},
};

fn null() -> OwnedFd {
    File::open("/dev/null").unwrap().into()
}

fn check(error: &VfioError, what: &str) {
    assert!(matches!(error, VfioError::Not { .. }), "{error}");
    assert!(error.to_string().contains(what), "{error}");
}

#[test]
fn descriptor_of_something_else_is_refused_by_what_it_should_be() {
    let Some((vm, ram)) = vm_or_skip("descriptor_of_something_else_is_refused") else {
        return;
    };
    let kvm = KvmGroups::new(&vm).unwrap();
    // A machine has one such device, and a second function of the host has to do with it.
    assert!(KvmGroups::new(&vm).is_err());
    let error = Container::type1(&kvm, &ram, null(), vec![null()]).unwrap_err();
    check(&error, "container");
    let error = Container::iommufd(&kvm, &ram, null(), vec![null()]).unwrap_err();
    check(&error, "an iommufd");
}

#[test]
fn accounting_of_something_else_is_refused() {
    check(
        &account_by_process(null().as_fd()).unwrap_err(),
        "an iommufd",
    );
}

#[test]
fn refusals_say_what_to_look_for() {
    let pin = VfioError::Pin {
        bytes: 4096,
        source: std::io::Error::from_raw_os_error(libc::ENOMEM),
    };
    let bind = VfioError::Bind {
        function: "0000:41:00.0".to_owned(),
        source: std::io::Error::from_raw_os_error(libc::EBUSY),
    };
    for (error, expected) in [
        (pin, ["4096 bytes", "the pod's cgroup"]),
        (bind, ["0000:41:00.0", "its IOMMU group"]),
        (VfioError::NotViable, ["not viable", "a driver of the host"]),
        (VfioError::NoType1, ["type 1", "vfio_iommu_type1"]),
    ] {
        let text = error.to_string();
        assert!(expected.iter().all(|part| text.contains(part)), "{text}");
    }
}
