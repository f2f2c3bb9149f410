//! Where the cgroup of a sandbox's pod is to be. Main function: [`cgroup`].

use cri::v1::LinuxPodSandboxConfig;
use pod::{CgroupParent, CgroupPlan};

use super::Refusal;
use crate::settings::CgroupSettings;

/// In the parent that the sandbox names, or in the configured one.
pub(crate) fn cgroup(
    linux: Option<&LinuxPodSandboxConfig>,
    settings: &CgroupSettings,
) -> Result<CgroupPlan, Refusal> {
    let asked = linux.map_or("", |linux| linux.cgroup_parent.as_str());
    let mount = settings.mount.clone().ok_or_else(|| {
        Refusal::Unfit(
            "this host has no cgroup v2, in which a pod's VM has to be: see `cofferdam check`"
                .to_owned(),
        )
    })?;
    let parent = if asked.is_empty() {
        settings.parent.clone()
    } else {
        let parent = CgroupParent::parse(settings.driver, asked);
        parent.map_err(|error| Refusal::invalid(format!("linux.cgroup_parent: {error}")))?
    };
    Ok(CgroupPlan {
        mount,
        driver: settings.driver,
        parent,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use pod::CgroupDriver;

    use super::*;

    fn settings(driver: CgroupDriver) -> CgroupSettings {
        CgroupSettings {
            mount: Some("/sys/fs/cgroup".into()),
            driver,
            parent: CgroupParent::plain("/cofferdam").unwrap(),
        }
    }

    fn asked(parent: &str) -> LinuxPodSandboxConfig {
        LinuxPodSandboxConfig {
            cgroup_parent: parent.to_owned(),
            ..LinuxPodSandboxConfig::default()
        }
    }

    #[test]
    fn parent_is_the_sandboxes_or_the_configured_one() {
        let check = |driver, linux: Option<LinuxPodSandboxConfig>, expect: &str| {
            let plan = cgroup(linux.as_ref(), &settings(driver)).unwrap();
            assert_eq!(plan.parent.path(), Path::new(expect));
            assert_eq!(plan.driver, driver);
        };
        let (systemd, cgroupfs) = (CgroupDriver::Systemd, CgroupDriver::Cgroupfs);
        check(systemd, None, "cofferdam");
        check(cgroupfs, Some(asked("")), "cofferdam");
        check(cgroupfs, Some(asked("/kubepods/pod1")), "kubepods/pod1");
        let slice = Some(asked("kubepods-pod1.slice"));
        check(systemd, slice, "kubepods.slice/kubepods-pod1.slice");
    }

    #[test]
    fn what_can_not_be_is_refused_by_its_field() {
        let settings = settings(CgroupDriver::Systemd);
        let refusal = cgroup(Some(&asked("/kubepods/pod1")), &settings).unwrap_err();
        let text = format!("{refusal:?}");
        assert!(text.contains("linux.cgroup_parent: "), "{text}");
        assert!(
            text.contains("cgroup.driver of the configuration"),
            "{text}"
        );
        let without = CgroupSettings {
            mount: None,
            ..settings
        };
        let refusal = cgroup(None, &without).unwrap_err();
        assert!(matches!(refusal, Refusal::Unfit(_)), "{refusal:?}");
    }
}
