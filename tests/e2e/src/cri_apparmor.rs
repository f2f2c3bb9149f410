//! AppArmor profiles of the node, over the Container Runtime Interface: what runs under them, in a VM and on the node. That a profile has to be loaded is
//! in `cri_limits`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cri::v1::{
    ContainerConfig, LinuxContainerConfig, LinuxContainerSecurityContext, SecurityProfile,
    security_profile::ProfileType,
};

use crate::Test;
use crate::case::Case;
use crate::cri_host_pods::Layers;
use crate::daemon::Daemon;
use crate::mounting::{finish, run};

pub(crate) const TESTS: &[Test] = &[("containers_run_under_the_profiles_that_they_name", confined)];

const PARSER: &str = "apparmor_parser";

/// A profile in the node's kernel; gone when dropped.
struct Profile {
    name: &'static str,
    file: PathBuf,
}

impl Profile {
    /// Everything is allowed but to write to the file.
    fn load(case: &Case, name: &'static str, closed: &str) -> Result<Self> {
        let file = case.folder().join(name);
        let rules = "file, capability, signal, network, ptrace, unix, mount, umount,";
        let text =
            format!("profile {name} flags=(attach_disconnected) {{ {rules} deny {closed} w, }}\n");
        fs::write(&file, text)?;
        let profile = Self { name, file };
        profile.parser("--replace")?;
        Ok(profile)
    }

    fn parser(&self, action: &str) -> Result<()> {
        let mut parser = Command::new(PARSER);
        let done = parser.args([action, "--skip-cache"]).arg(&self.file);
        let output = done.output().context("start apparmor_parser")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{PARSER} {action}: {said}");
        Ok(())
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        self.parser("--remove").ok();
    }
}

/// Whether this node has AppArmor, and what compiles profiles; says so where it has not.
fn has_apparmor() -> bool {
    let on = fs::read_to_string("/sys/module/apparmor/parameters/enabled");
    let compiles = Command::new(PARSER).arg("--version").output().is_ok();
    let there = compiles && on.is_ok_and(|text| text.starts_with('Y'));
    if !there {
        eprintln!("SKIPPED cri_apparmor: it needs AppArmor in this kernel, and {PARSER}");
    }
    there
}

/// Also used where no profile is loaded.
pub(crate) fn under(profile: &str, mut config: ContainerConfig) -> ContainerConfig {
    config.linux = Some(LinuxContainerConfig {
        security_context: Some(LinuxContainerSecurityContext {
            apparmor: Some(SecurityProfile {
                profile_type: ProfileType::Localhost.into(),
                localhost_ref: profile.to_owned(),
            }),
            ..LinuxContainerSecurityContext::default()
        }),
        ..LinuxContainerConfig::default()
    });
    config
}

/// Says what it is confined by, and to which of two files it may write.
const SCRIPT: &str = "cat /proc/self/attr/current; for file in /one /two; do { echo x >$file; } 2>/dev/null && echo $file; done; true";

fn confined(case: &Case) -> Result<()> {
    const NAME: &str = "cofferdam-e2e-closed";
    if !has_apparmor() {
        return Ok(());
    }
    let daemon = Daemon::start(case)?;
    let _layers = Layers::mount(case)?;
    let profile = Profile::load(case, NAME, "/two")?;
    let vm = daemon.run_sandbox("vm")?;
    let node = daemon.run_configured(daemon.sandbox_config("node")?, "host");
    let node = node.with_context(|| format!("run it; log: {}", daemon.log()))?;
    let check = |sandbox: &str, config: ContainerConfig, expect: &str| -> Result<()> {
        let said = finish(&daemon, sandbox, config)?;
        ensure!(
            said == (0, expect.to_owned()),
            "{said:?} and not {expect:?}; log: {}",
            daemon.log()
        );
        Ok(())
    };
    let enforced = format!("{NAME} (enforce)\n");
    // All logs lie in one folder: each container has a name of its own.
    let pods = [(&vm, "vm"), (&node, "node")];
    let script = |what: &str, pod: &str| daemon.script(&format!("{what}-{pod}"), SCRIPT);
    for (pod, name) in pods {
        let first = under(profile.name, script("first", name));
        check(pod, first, &format!("{enforced}/one\n"))?;
        // The profile is of those who name it.
        check(pod, script("free", name), "unconfined\n/one\n/two\n")?;
        let long = under(profile.name, daemon.script("long", "exec sleep 1000"));
        let long = run(&daemon, pod, long)?;
        let said = daemon.exec(&long, SCRIPT, 60)?;
        ensure!(
            said.stdout == format!("{enforced}/one\n").as_bytes(),
            "{said:?}"
        );
    }
    // What the node has loaded meanwhile is what the next container runs under.
    let _anew = Profile::load(case, NAME, "/one")?;
    for (pod, name) in pods {
        let second = under(profile.name, script("second", name));
        check(pod, second, &format!("{enforced}/two\n"))?;
        daemon.remove_sandbox(pod)?;
    }
    Ok(())
}
