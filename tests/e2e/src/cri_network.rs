//! A sandbox's network: real CNI plugins on the node, the addresses in the guest, bytes both ways.

use std::fs;
use std::io::Read;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use cri::v1::ContainerState;

use crate::Test;
use crate::case::Case;
use crate::cri_filters;
use crate::daemon::{Daemon, log_text};
use crate::deadlines::{self, LOOK_AGAIN};
use crate::network::{LEASES, OWN_PLUGINS};

pub(crate) const TESTS: &[Test] = &[
    ("guest_has_the_addresses_that_cri_says", addresses),
    ("node_reaches_the_pod_and_is_reached_from_it", both_ways),
    ("addresses_are_given_back", given_back),
    (
        "plugin_that_fails_is_named_and_nothing_is_left",
        broken_plugin,
    ),
];

fn ips(daemon: &Daemon<'_>, id: &str) -> Result<Vec<IpAddr>> {
    let network = daemon
        .sandbox_status(id)?
        .network
        .context("it has a network")?;
    let others = network.additional_ips.iter().map(|ip| ip.ip.clone());
    let all = std::iter::once(network.ip).chain(others);
    all.map(|ip| ip.parse().with_context(|| format!("{ip:?} is an address")))
        .collect()
}

/// What a container wrote to its standard output.
fn said(daemon: &Daemon<'_>, name: &str) -> Result<String> {
    let log = daemon.logs().join(format!("{name}.log"));
    Ok(String::from_utf8_lossy(&log_text(&log, "stdout")?).into_owned())
}

fn addresses(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let pod = daemon.run_sandbox("web")?;
    let ips = ips(&daemon, &pod)?;
    ensure!(ips.len() == 2, "one of each family: {ips:?}");
    let script = "ip addr show dev eth0; ip route; ip -6 route; cat /etc/hosts";
    let container = daemon.run(&pod, "look", script)?;
    daemon.ended(&container)?;
    let said = said(&daemon, "look")?;
    for ip in &ips {
        ensure!(said.contains(&format!("{ip}/")), "{ip} is on eth0: {said}");
        ensure!(
            said.contains(&format!("{ip}\tweb")),
            "{ip} is in /etc/hosts: {said}"
        );
    }
    ensure!(
        said.contains("default via 192.0.2."),
        "it has a default route: {said}"
    );
    daemon.remove_sandbox(&pod)?;
    Ok(())
}

fn both_ways(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let pod = daemon.run_sandbox("web")?;
    let ips = ips(&daemon, &pod)?;
    for (number, ip) in ips.iter().enumerate() {
        let name = format!("serve{number}");
        // Without -s it listens on both families; one connection ends it.
        let container = daemon.run(&pod, &name, "echo hello | nc -l -p 8080")?;
        ensure!(
            hear(case, SocketAddr::new(*ip, 8080))? == "hello\n",
            "through {ip}"
        );
        daemon.ended(&container)?;
    }
    let gateway = "ping -c 1 -W 60 $(ip route | sed -n 's/^default via \\([^ ]*\\).*/\\1/p')";
    let container = daemon.run(&pod, "ping", gateway)?;
    let status = daemon.ended(&container)?;
    let said = said(&daemon, "ping")?;
    ensure!(status.exit_code == 0, "the node answers: {said}");
    daemon.remove_sandbox(&pod)?;
    Ok(())
}

/// What is said to whoever connects, once somebody listens.
fn hear(case: &Case, address: SocketAddr) -> Result<String> {
    let patience = case.patience.stretch(deadlines::STEP);
    let deadline = Instant::now() + patience;
    loop {
        match TcpStream::connect_timeout(&address, patience) {
            Ok(mut stream) => {
                stream
                    .set_read_timeout(Some(patience))
                    .context("set a deadline")?;
                let mut said = String::new();
                stream
                    .read_to_string(&mut said)
                    .with_context(|| format!("hear {address}"))?;
                return Ok(said);
            }
            Err(error) if Instant::now() >= deadline => {
                return Err(error).with_context(|| format!("connect to {address}"));
            }
            Err(_nobody_yet) => thread::park_timeout(LOOK_AGAIN),
        }
    }
}

/// What host-local keeps of addresses in use, beside its own lock and counters.
fn leases(case: &Case) -> Result<Vec<String>> {
    let folder = case.network_folder().join(LEASES).join("e2e");
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(_not_made_yet) => return Ok(Vec::new()),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.context("list the leases")?.file_name();
        let name = name.to_string_lossy().into_owned();
        if name != "lock" && !name.starts_with("last_reserved_ip") {
            names.push(name);
        }
    }
    Ok(names)
}

/// A plugin of the same name as the real one and found before it, which notes what is asked of it; the notes.
fn install_noting_plugin(case: &Case) -> Result<PathBuf> {
    let notes = case.network_folder().join("calls");
    let plugin = case.network_folder().join(OWN_PLUGINS).join("ptp");
    let script = format!(
        "#!/bin/sh\necho \"$CNI_COMMAND $CNI_CONTAINERID\" >>{}\nexec /usr/lib/cni/ptp\n",
        notes.display()
    );
    fs::write(&plugin, script).context("write the noting plugin")?;
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o755))?;
    Ok(notes)
}

fn given_back(case: &Case) -> Result<()> {
    let mut daemon = Daemon::start(case)?;
    let notes = install_noting_plugin(case)?;
    let pods = cri_filters::start_two(&daemon)?;
    let [stopped, removed] = &pods;
    cri_filters::check_while_both_run(&daemon, &pods)?;
    ensure!(leases(case)?.len() == 4, "{:?}", leases(case)?);
    daemon.stop_sandbox(&stopped.sandbox)?;
    ensure!(leases(case)?.len() == 2, "{:?}", leases(case)?);
    let status = daemon.status(&stopped.container)?;
    let told = (status.state(), status.exit_code);
    let killed = (ContainerState::ContainerExited, 137);
    ensure!(told == killed, "its container was killed: {status:?}");
    cri_filters::check_when_one_has_stopped(&daemon, &pods)?;
    // The next daemon knows what the one before it attached.
    daemon.restart()?;
    ensure!(
        ips(&daemon, &removed.sandbox)?.len() == 2,
        "they are known after a restart"
    );
    daemon.stop_sandbox(&stopped.sandbox)?;
    daemon.remove_sandbox(&removed.sandbox)?;
    daemon.remove_sandbox(&stopped.sandbox)?;
    ensure!(leases(case)?.is_empty(), "{:?}", leases(case)?);
    let notes = fs::read_to_string(notes).context("read what the plugin was asked")?;
    for pod in &pods {
        let of_pod = notes.lines().filter(|line| line.ends_with(&pod.sandbox));
        let calls: Vec<_> = of_pod.filter_map(|line| line.split(' ').next()).collect();
        ensure!(calls == ["ADD", "DEL"], "{calls:?}");
    }
    Ok(())
}

fn broken_plugin(case: &Case) -> Result<()> {
    let daemon = Daemon::start(case)?;
    let list = case.network_folder().join("net.d/10-e2e.conflist");
    let good = fs::read_to_string(&list).context("read the CNI configuration")?;
    fs::write(&list, good.replace("\"ptp\"", "\"no-such-plugin\"")).context("spoil it")?;
    let refused = daemon.run_sandbox("web");
    let error = format!(
        "{:#}",
        refused.err().context("a pod without its network is none")?
    );
    ensure!(error.contains("no-such-plugin"), "{error}");
    ensure!(daemon.sandboxes()?.is_empty(), "nothing is listed");
    ensure!(leases(case)?.is_empty(), "{:?}", leases(case)?);
    fs::write(&list, good).context("mend it")?;
    let pod = daemon
        .run_sandbox("web")
        .context("with the same name again")?;
    daemon.remove_sandbox(&pod)?;
    Ok(())
}
