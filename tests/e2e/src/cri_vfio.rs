//! A function of the node for a pod, over the Container Runtime Interface: asked for by the sandbox's annotation, given by VFIO, and the
//! disk that it is in the guest is the container's. The devices are the test host's spare disks.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use cri::v1::{ContainerConfig, Device, PodSandboxConfig};
use toml::Table;
use tonic::Code;

use crate::Test;
use crate::case::{Case, Images};
use crate::daemon::{Daemon, expect_failure};
use crate::mounting::finish;
use crate::spare::{self, CONTAINER, Kind, Spare};

pub(crate) const TESTS: &[Test] = &[
    ("pod_works_on_a_function_of_the_node", |case| {
        works(case, &spare::VIRTIO)
    }),
    ("pod_works_on_a_disk_of_nvme", |case| {
        works(case, &spare::NVME)
    }),
    ("function_that_a_pod_may_not_have_is_named", refused),
];

const ANNOTATION: &str = "cofferdam.vfio";
const KNOWN: &[u8] = b"written by the node";
const ANSWER: &str = "written by the pod";
const ANSWER_AT: u64 = 4 << 20;

fn works(case: &Case, kind: &'static Kind) -> Result<()> {
    let Some(spare) = Spare::all(case, kind)?.pop() else {
        return Ok(());
    };
    spare.write(case, 0, KNOWN)?;
    let group = spare.give_away()?;
    let daemon = Daemon::start_with(case, Images::Shared, allowed("['*']", true)?)?;
    let sandbox = daemon.run_configured(asking(&daemon, "web", &spare)?, "")?;

    let second = asking(&daemon, "second", &spare)?;
    let taken = daemon.run_configured(second, "");
    let taken = format!("{:#}", taken.err().context("two pods have one device")?);
    // By type 1 its group can't be opened, by iommufd it can't be bound.
    let nodes = [&*group.to_string_lossy(), &spare.address].map(|node| taken.contains(node));
    ensure!(nodes.contains(&true), "{taken}");

    let script = format!(
        "head -c {} /dev/given; printf '{ANSWER}' | dd of=/dev/given bs=4096 seek={} conv=fsync 2>/dev/null; [ -e {CONTAINER} ] || echo; \
         stat -c %a /dev/given",
        KNOWN.len(),
        ANSWER_AT / 4096
    );
    let container = ContainerConfig {
        // As a device plugin has it: the group's node, and that of all of VFIO.
        devices: vec![
            device(&group, "/dev/given"),
            device(Path::new(CONTAINER), CONTAINER),
        ],
        ..daemon.script("main", &script)
    };
    let (code, said) = finish(&daemon, &sandbox, container)?;
    ensure!(code == 0, "{code}: {said}; log: {}", daemon.log());
    let expected = format!("{}\n660\n", String::from_utf8_lossy(KNOWN));
    ensure!(said == expected, "{said:?} is not {expected:?}");
    daemon.remove_sandbox(&sandbox)?;

    spare.take_back()?;
    let answer = spare.read(case, ANSWER_AT, ANSWER.len())?;
    ensure!(answer == ANSWER.as_bytes(), "the disk has {answer:?}");
    Ok(())
}

fn refused(case: &Case) -> Result<()> {
    let Some(spare) = Spare::find(case)? else {
        return Ok(());
    };
    for (devices, annotation, code, words) in [
        ("[]", false, Code::PermissionDenied, "vfio.annotation"),
        (
            "['0000:00:00.0']",
            true,
            Code::FailedPrecondition,
            "virtio-pci",
        ),
    ] {
        let daemon = Daemon::start_with(case, Images::Shared, allowed(devices, annotation)?)?;
        let config = asking(&daemon, "web", &spare)?;
        expect(&daemon, config, code, words)?;
    }
    spare.give_away()?;
    let daemon = Daemon::start_with(case, Images::Shared, allowed("['0000:00:00.0']", true)?)?;
    let config = asking(&daemon, "web", &spare)?;
    expect(&daemon, config, Code::PermissionDenied, "vfio.devices")?;
    ensure!(daemon.sandboxes()?.is_empty(), "a pod is left");
    case.no_monitor()
}

fn expect(daemon: &Daemon<'_>, config: PodSandboxConfig, code: Code, words: &str) -> Result<()> {
    let request = cri::v1::RunPodSandboxRequest {
        config: Some(config),
        runtime_handler: String::new(),
    };
    let answer = daemon.call(async |mut client| client.run_pod_sandbox(request).await);
    expect_failure(answer, code, words)
}

pub(crate) fn asking(daemon: &Daemon<'_>, name: &str, spare: &Spare) -> Result<PodSandboxConfig> {
    Ok(PodSandboxConfig {
        annotations: [(ANNOTATION.to_owned(), spare.address.clone())].into(),
        ..daemon.sandbox_config(name)?
    })
}

fn allowed(devices: &str, annotation: bool) -> Result<Table> {
    let text = format!("[vfio]\ndevices = {devices}\nannotation = {annotation}");
    Ok(text.parse()?)
}

pub(crate) fn device(host_path: &Path, container_path: &str) -> Device {
    Device {
        container_path: container_path.to_owned(),
        host_path: host_path.to_string_lossy().into_owned(),
        permissions: "mrw".to_owned(),
    }
}
