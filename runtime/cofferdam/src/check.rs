//! `cofferdam check`: can this host run us? Each finding says what was looked at, what was found, and what to do. The facts are
//! collected in `facts`, judged here by a pure function. Main type: [`Finding`].

mod facts;
mod vfio;

use anyhow::Context;
use serde::Serialize;

use crate::{args::CheckArguments, config::Config, output};

use facts::{Facts, FileFact, KvmKind};

/// Oldest kernel that we test on: pidfd, close_range and cgroup.kill are older, landlock and epoll_pwait2 come with it.
const OLDEST_KERNEL: (u32, u32) = (5, 15);

/// CAP_SYS_ADMIN (linux/capability.h): the jail's namespaces and its empty root need it until the jail shuts.
const CAP_SYS_ADMIN: u32 = 21;

/// How a finding is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// As it should be.
    Ok,
    /// Works, with a loss.
    Warning,
    /// Cofferdam can't run VMs until this is mended.
    Missing,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) what: &'static str,
    pub(crate) verdict: Verdict,
    pub(crate) found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) advice: Option<String>,
}

#[derive(Serialize)]
struct Report<'a> {
    can_run: bool,
    findings: &'a [Finding],
    #[serde(skip_serializing_if = "Option::is_none")]
    vfio: Option<vfio::Report>,
}

/// Looks, prints, and says whether VMs can run: without a VFIO device, too.
pub(crate) fn check(config: &Config, arguments: &CheckArguments) -> anyhow::Result<bool> {
    let vfio = match arguments.vfio {
        true => Some(vfio::Report::of_this_host().context("look for VFIO devices")?),
        false => None,
    };
    let findings = judge(&Facts::collect(config));
    let can_run = findings
        .iter()
        .all(|finding| finding.verdict != Verdict::Missing);
    if arguments.output.json {
        output::json(&Report {
            can_run,
            findings: &findings,
            vfio,
        })?;
    } else {
        for finding in &findings {
            output::line(&text(finding))?;
        }
        for line in vfio.iter().flat_map(vfio::Report::lines) {
            output::line(&line)?;
        }
        output::line(if can_run {
            "This host can run VMs."
        } else {
            "This host can't run VMs yet: see \"missing\" above."
        })?;
    }
    Ok(can_run)
}

fn text(finding: &Finding) -> String {
    let mark = match finding.verdict {
        Verdict::Ok => "ok     ",
        Verdict::Warning => "warning",
        Verdict::Missing => "missing",
    };
    let mut text = format!("{mark}  {:<14} {}", finding.what, finding.found);
    if let Some(advice) = &finding.advice {
        text.push_str("\n                         → ");
        text.push_str(advice);
    }
    text
}

fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![kvm(facts), kernel(facts), cgroup(facts), privileges(facts)];
    findings.extend(facts.files.iter().map(file));
    findings
}

fn finding(what: &'static str, verdict: Verdict, found: String, advice: &str) -> Finding {
    let advice = (verdict != Verdict::Ok).then(|| advice.to_owned());
    Finding {
        what,
        verdict,
        found,
        advice,
    }
}

fn kvm(facts: &Facts) -> Finding {
    let of = |verdict, found: &str, advice: &str| finding("kvm", verdict, found.to_owned(), advice);
    match &facts.kvm {
        KvmKind::Hardware { module } => of(
            Verdict::Ok,
            &format!("/dev/kvm by {module}, on hardware"),
            "",
        ),
        KvmKind::Nested { module } => of(
            Verdict::Ok,
            &format!("/dev/kvm by {module}, nested in another hypervisor"),
            "",
        ),
        KvmKind::Software => of(
            Verdict::Missing,
            "/dev/kvm is there, but the processor has neither VMX nor SVM",
            "a stock guest kernel can't boot on it: use a host with VT-x or AMD-V, switch nested virtualisation on, \
             or run in the nested test host (make testbed)",
        ),
        KvmKind::NoAccess { reason } => of(
            Verdict::Missing,
            &format!("/dev/kvm can't be opened: {reason}"),
            "run as root, or as a user who may read and write /dev/kvm",
        ),
        KvmKind::Absent {
            processor_can: true,
        } => of(
            Verdict::Missing,
            "no /dev/kvm, though the processor can virtualise",
            "load the module: modprobe kvm_intel or modprobe kvm_amd",
        ),
        KvmKind::Absent {
            processor_can: false,
        } => of(
            Verdict::Missing,
            "no /dev/kvm, and the processor shows neither VMX nor SVM",
            "switch virtualisation on in the firmware, or nested virtualisation in the hypervisor below",
        ),
    }
}

fn kernel(facts: &Facts) -> Finding {
    let (major, minor) = OLDEST_KERNEL;
    let verdict = if facts.kernel_version >= OLDEST_KERNEL {
        Verdict::Ok
    } else {
        Verdict::Missing
    };
    let advice = format!("Linux {major}.{minor} or newer is needed");
    finding(
        "kernel",
        verdict,
        format!("Linux {}", facts.kernel_release),
        &advice,
    )
}

fn cgroup(facts: &Facts) -> Finding {
    let (verdict, found) = if facts.cgroup_v2 {
        (Verdict::Ok, "version 2 at /sys/fs/cgroup")
    } else {
        (Verdict::Warning, "no version 2 at /sys/fs/cgroup")
    };
    let advice = "single runs work; pods of a node will need it: boot with systemd.unified_cgroup_hierarchy=1, \
                  or mount -t cgroup2 none /sys/fs/cgroup";
    finding("cgroup", verdict, found.to_owned(), advice)
}

fn privileges(facts: &Facts) -> Finding {
    let admin = facts.capabilities & (1 << CAP_SYS_ADMIN) != 0;
    let (verdict, found) = match (facts.uid, admin) {
        (0, true) => (Verdict::Ok, "root with CAP_SYS_ADMIN".to_owned()),
        (0, false) => (Verdict::Missing, "root without CAP_SYS_ADMIN".to_owned()),
        (uid, _) => (Verdict::Missing, format!("user {uid}")),
    };
    let advice = "run as root with all capabilities: each monitor makes namespaces of its own before it gives \
                  every privilege up";
    finding("privileges", verdict, found, advice)
}

fn file(file: &FileFact) -> Finding {
    let path = file.path.display();
    match &file.problem {
        None => finding(file.what, Verdict::Ok, path.to_string(), ""),
        Some(problem) => {
            let advice = format!(
                "make dist builds it; or set {} in the configuration to where it is",
                file.key
            );
            finding(
                file.what,
                Verdict::Missing,
                format!("{path}: {problem}"),
                &advice,
            )
        }
    }
}

#[cfg(test)]
mod tests;
