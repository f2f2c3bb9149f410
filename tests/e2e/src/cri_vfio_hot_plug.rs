//! A function of the node that comes to a pod's VM with a container, and goes with it, over the Container Runtime Interface: beside one that the VM
//! has had since its start. The devices are the test host's disks of NVMe.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use cri::v1::{ContainerConfig, Device, PodSandboxConfig};
use toml::Table;
use tonic::Code;

use crate::Test;
use crate::case::{Case, Images};
use crate::cri_vfio::{asking, device};
use crate::daemon::{Daemon, expect_failure, log_text};
use crate::mounting;
use crate::spare::{self, Spare};

pub(crate) const TESTS: &[Test] = &[
    ("container_brings_a_function_to_its_pod", brings),
    (
        "function_for_a_running_pod_is_refused_with_the_reason",
        refused,
    ),
];

const ANSWER_AT: u64 = 4 << 20;

fn brings(case: &Case) -> Result<()> {
    let mut disks = Spare::all(case, &spare::NVME)?;
    let (Some(cold), Some(hot)) = (disks.pop(), disks.pop()) else {
        return Ok(());
    };
    cold.write(case, 0, b"cold")?;
    hot.write(case, 0, b"hot.")?;
    let (cold_group, hot_group) = (cold.give_away()?, hot.give_away()?);
    let daemon = Daemon::start_with(case, Images::Shared, settings("['*']", 1)?)?;
    let sandbox = daemon.run_configured(asking(&daemon, "web", &cold)?, "")?;

    // Twice: what one container brought, another can bring again.
    for round in ["one", "two"] {
        let script = format!(
            "set -e; head -c 4 /dev/cold; head -c 4 /dev/hot; for disk in cold hot; do printf \"$disk {round}\" | \
             dd of=/dev/$disk bs=4096 seek={} conv=fsync 2>/dev/null; done",
            ANSWER_AT / 4096
        );
        let devices = [
            device(&cold_group, "/dev/cold"),
            device(&hot_group, "/dev/hot"),
        ];
        let config = with(&daemon, round, &script, &devices);
        let log = daemon.logs().join(&config.log_path);
        let id = mounting::run(&daemon, &sandbox, config)?;
        let code = daemon.ended(&id)?.exit_code;
        let said = String::from_utf8(log_text(&log, "stdout")?)?;
        ensure!(code == 0, "{code}: {said}; log: {}", daemon.log());
        ensure!(said == "coldhot.", "{said:?}");
        daemon.remove(&id)?;
        let back = hot.take_back();
        back.context("the node has it back while the pod runs")?;
        let expected = format!("hot {round}");
        let answer = hot.read(case, ANSWER_AT, expected.len())?;
        ensure!(answer == expected.as_bytes(), "the disk has {answer:?}");
        hot.give_away()?;
    }
    daemon.remove_sandbox(&sandbox)?;
    cold.take_back()?;
    let answer = cold.read(case, ANSWER_AT, "cold two".len())?;
    ensure!(answer == b"cold two", "the disk has {answer:?}");
    Ok(())
}

fn refused(case: &Case) -> Result<()> {
    let Some(disk) = Spare::all(case, &spare::NVME)?.pop() else {
        return Ok(());
    };
    let group = disk.give_away()?;
    for (devices, hot_plug, words) in [
        ("['*']", 0, "vfio.hot_plug"),
        ("['0000:00:00.0']", 1, "vfio.devices"),
    ] {
        let daemon = Daemon::start_with(case, Images::Shared, settings(devices, hot_plug)?)?;
        let config: PodSandboxConfig = daemon.sandbox_config("web")?;
        let sandbox = daemon.run_configured(config, "")?;
        let config = with(&daemon, "main", "true", &[device(&group, "/dev/given")]);
        let answer = daemon.create(&sandbox, config);
        expect_failure(answer, Code::Internal, words)?;
        daemon.remove_sandbox(&sandbox)?;
    }
    // Nobody has opened it.
    ensure!(Path::new(&group).exists(), "the group has no node");
    disk.take_back()
}

fn settings(devices: &str, hot_plug: u8) -> Result<Table> {
    let text = format!("[vfio]\ndevices = {devices}\nannotation = true\nhot_plug = {hot_plug}");
    Ok(text.parse()?)
}

fn with(daemon: &Daemon<'_>, name: &str, script: &str, devices: &[Device]) -> ContainerConfig {
    ContainerConfig {
        devices: devices.to_vec(),
        ..daemon.script(name, script)
    }
}
