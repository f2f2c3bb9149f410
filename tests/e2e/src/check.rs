//! What `cofferdam` says about itself and about the host.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::Test;
use crate::case::Case;

pub(crate) const TESTS: &[Test] = &[
    ("host_that_can_run_us_is_said_to", host_is_fit),
    ("json_says_the_same", json),
    ("version_is_printed", version),
    ("every_configuration_key_is_printed", configuration),
    ("help_names_every_command", help),
];

fn host_is_fit(case: &Case) -> Result<()> {
    let ended = case.tell(&["check"])?;
    ended.expect_code(0)?;
    let text = ended.text().to_lowercase();
    for subject in ["kvm", "cgroup", "kernel"] {
        ensure!(
            text.contains(subject),
            "check says nothing of {subject:?}: {ended}"
        );
    }
    Ok(())
}

fn json(case: &Case) -> Result<()> {
    let ended = case.tell(&["check", "--json"])?;
    ended.expect_code(0)?;
    let value: Value =
        serde_json::from_slice(&ended.stdout).with_context(|| format!("read JSON, but {ended}"))?;
    ensure!(
        value["can_run"] == true,
        "this host runs us, so check must say so: {value}"
    );
    let findings = value["findings"].as_array().context("a list of findings")?;
    ensure!(!findings.is_empty(), "it looked at something: {value}");
    Ok(())
}

fn version(case: &Case) -> Result<()> {
    let ended = case.tell(&["version"])?;
    ended.expect_code(0)?;
    ensure!(
        ended.text().contains(env!("CARGO_PKG_VERSION")),
        "the workspace's version: {ended}"
    );
    let json = case.tell(&["version", "--json"])?;
    json.expect_code(0)?;
    let value: Value =
        serde_json::from_slice(&json.stdout).with_context(|| format!("read JSON, but {json}"))?;
    ensure!(value.is_object(), "an object: {value}");
    Ok(())
}

fn configuration(case: &Case) -> Result<()> {
    let ended = case.tell(&["config"])?;
    ended.expect_code(0)?;
    for key in [
        "kernel",
        "guest_image",
        "monitor",
        "state_dir",
        "run_dir",
        "deadline_scale",
        "pids_limit",
    ] {
        ensure!(
            ended.text().contains(&format!("{key} = ")),
            "{key} is not printed: {ended}"
        );
    }
    Ok(())
}

fn help(case: &Case) -> Result<()> {
    let ended = case.tell(&["--help"])?;
    ended.expect_code(0)?;
    for command in [
        "run", "image", "images", "pods", "ps", "inspect", "check", "config", "version",
    ] {
        let case = case.tell(&[command, "--help"])?;
        case.expect_code(0)?;
        ensure!(
            ended.text().contains(command),
            "{command} is not named: {ended}"
        );
    }
    Ok(())
}
