//! Addresses from the wire, and what sysfs says about a device, from folders that look like it.

use super::*;

#[test]
fn pci_address_is_taken_as_linux_prints_it() {
    let check = |text: &str, expect: Option<&str>| {
        let parsed = text
            .parse::<PciAddress>()
            .ok()
            .map(|address| address.to_string());
        assert_eq!(parsed.as_deref(), expect, "{text}");
    };
    check("0000:00:03.0", Some("0000:00:03.0"));
    check("0000:FF:1f.7", Some("0000:ff:1f.7"));
    for bad in [
        "",
        "0:0:3.0",
        "0000:00:20.0",
        "0000:00:03.8",
        "../../x",
        "0000:00:+3.0",
        "0000:00:03.0/..",
    ] {
        check(bad, None);
    }
}

#[test]
fn device_is_ready_when_every_driver_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let device = folder.path().join("0000:00:03.0");
    let check = |expect: Option<Option<PathBuf>>| assert_eq!(look(&device).unwrap(), expect);
    check(None);
    fs::create_dir_all(device.join("driver")).unwrap();
    fs::write(device.join("class"), "0x010000\n").unwrap();
    check(Some(None));
    let virtio = device.join("virtio3");
    fs::create_dir(&virtio).unwrap();
    check(None);
    fs::create_dir(virtio.join("driver")).unwrap();
    fs::write(virtio.join("device"), "0x0013\n").unwrap();
    check(Some(None));
    fs::write(virtio.join("device"), "0x0002\n").unwrap();
    check(None);
    // Any name that /dev has will do.
    fs::create_dir_all(virtio.join("block").join("null")).unwrap();
    check(Some(Some("/dev/null".into())));
}

#[test]
fn disk_of_nvme_is_ready_with_its_namespace() {
    let device = tempfile::tempdir().unwrap();
    let device = device.path();
    let check = |expect: Option<Option<PathBuf>>| assert_eq!(look(device).unwrap(), expect);
    fs::create_dir_all(device.join("driver")).unwrap();
    fs::write(device.join("class"), "0x010802\n").unwrap();
    check(None);
    let controller = device.join("nvme/nul");
    fs::create_dir_all(controller.join("power")).unwrap();
    check(None);
    fs::rename(&controller, device.join("nvme/nvme0")).unwrap();
    check(None);
    // A namespace without a node in /dev yet, and beside it the one for commands.
    fs::create_dir_all(device.join("nvme/nvme0/nvme0n4000")).unwrap();
    fs::create_dir_all(device.join("nvme/nvme0/ng0n1")).unwrap();
    check(None);
}

#[tokio::test]
async fn device_that_is_not_there_is_not_found() {
    let nowhere: PciAddress = "ffff:ff:1f.7".parse().unwrap();
    assert_eq!(remove(nowhere).await.unwrap_err().kind, FaultKind::NotFound);
}
