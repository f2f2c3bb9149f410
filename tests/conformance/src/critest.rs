//! Runs critest. Main function: [`run`].

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::deadlines::{CALL_SECONDS, CRITEST_MINUTES};
use crate::node::Node;
use crate::report::Report;

/// How much of its log stands in an error.
const SHOWN_BYTES: usize = 4000;

/// What of it is run, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// Only the specs whose names match, where that is given.
    pub(crate) focus: Option<&'a str>,
    /// It speaks WebSocket for streams, and not SPDY.
    pub(crate) websocket: bool,
}

/// What it reports, whether its specs passed or not.
pub(crate) fn run(
    critest: &Path,
    wanted: &Wanted<'_>,
    node: &Node,
    results: &Path,
) -> Result<Report> {
    let report = results.join("critest.json");
    if report.exists() {
        fs::remove_file(&report).context("remove the report of another run")?;
    }
    let log = results.join("critest.log");
    let output = File::create(&log).with_context(|| format!("create {}", log.display()))?;
    let endpoint = node.endpoint();
    let seconds = format!("{CALL_SECONDS}s");
    let mut command = Command::new(critest);
    command
        .arg("--config")
        .arg(node.client_file())
        .args([
            "--runtime-endpoint",
            &endpoint,
            "--image-endpoint",
            &endpoint,
        ])
        .args([
            "--runtime-service-timeout",
            &seconds,
            "--image-service-timeout",
            &seconds,
        ])
        .arg("--test-images-file")
        .arg(node.image_list())
        .arg(format!("--ginkgo.timeout={CRITEST_MINUTES}m"))
        // The same order each time.
        .args(["--ginkgo.no-color", "--ginkgo.seed=1"])
        .arg(format!("--ginkgo.json-report={}", report.display()));
    if let Some(focus) = wanted.focus {
        command.arg(format!("--ginkgo.focus={focus}"));
    }
    if wanted.websocket {
        command.args([
            "--websocket-exec",
            "--websocket-attach",
            "--websocket-portforward",
        ]);
    }
    let status = command
        .stdin(Stdio::null())
        .stdout(output.try_clone().context("share critest's log")?)
        .stderr(output)
        .status()
        .with_context(|| format!("run {}", critest.display()))?;
    match fs::read_to_string(&report) {
        Ok(json) => Report::parse(&json).context("understand critest's report"),
        Err(_none) => {
            let said = fs::read(&log).unwrap_or_default();
            let end = &said[said.len().saturating_sub(SHOWN_BYTES)..];
            bail!(
                "critest wrote no report ({status}): {}",
                String::from_utf8_lossy(end)
            )
        }
    }
}
