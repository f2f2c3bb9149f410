//! crictl as a person uses it who looks at a node: a pod by hand, from its image to its removal. Main function: [`try_out`].

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::node::Node;

const IMAGE: &str = "registry.k8s.io/e2e-test-images/busybox:1.29-2";
/// What the container says.
const HELLO: &str = "hello-from-the-guest";

/// A command line, in which `POD`, `CONTAINER` and `FOLDER` stand for what is known when it runs, and what it must say.
struct Step {
    arguments: &'static [&'static str],
    says: &'static [&'static str],
}

const fn step(arguments: &'static [&'static str], says: &'static [&'static str]) -> Step {
    Step { arguments, says }
}

const STEPS: &[Step] = &[
    step(&["version"], &["cofferdam", "v1"]),
    step(&["info"], &["RuntimeReady", "NetworkReady"]),
    step(&["pull", IMAGE], &["sha256:"]),
    step(&["images"], &["busybox", "1.29-2"]),
    step(&["inspecti", IMAGE], &["repoDigests", "1.29-2"]),
    step(&["imagefsinfo"], &["usedBytes"]),
    step(&["runp", "FOLDER/pod.json"], &[]),
    step(&["pods"], &["by-hand", "Ready"]),
    step(&["inspectp", "POD"], &["SANDBOX_READY", "by-hand"]),
    step(
        &["create", "POD", "FOLDER/container.json", "FOLDER/pod.json"],
        &[],
    ),
    step(&["ps", "-a"], &["Created", "main"]),
    step(&["start", "CONTAINER"], &["CONTAINER"]),
    step(&["ps"], &["Running", "main", "by-hand"]),
    step(&["inspect", "CONTAINER"], &["_RUNNING", "main"]),
    step(
        &[
            "exec",
            "-s",
            "CONTAINER",
            "sh",
            "-c",
            "echo in; until [ -e /tmp/said ]; do sleep 1; done",
        ],
        &["in"],
    ),
    step(&["exec", "CONTAINER", "echo", "streamed"], &["streamed"]),
    step(
        &["exec", "-i", "CONTAINER", "sh", "-c", "cat; echo the end"],
        &["the end"],
    ),
    step(&["logs", "CONTAINER"], &[HELLO]),
    step(&["stats", "CONTAINER"], &["main"]),
    step(&["statsp", "POD"], &["by-hand"]),
    step(&["update", "--memory", "67108864", "CONTAINER"], &[]),
    step(&["stop", "CONTAINER"], &["CONTAINER"]),
    step(&["ps", "-a"], &["Exited"]),
    step(&["rm", "CONTAINER"], &["CONTAINER"]),
    step(&["stopp", "POD"], &["POD"]),
    step(&["pods"], &["NotReady"]),
    step(&["rmp", "POD"], &["POD"]),
    step(&["rmi", IMAGE], &["Deleted", "1.29-2"]),
];

/// Whether every command did what it should; the whole conversation is in the results.
pub(crate) fn try_out(crictl: &Path, node: &Node, results: &Path) -> Result<bool> {
    write_configurations(node)?;
    let mut conversation = Conversation {
        crictl,
        node,
        pod: "POD".to_owned(),
        container: "CONTAINER".to_owned(),
        said: String::new(),
    };
    let wrong: Vec<String> = STEPS
        .iter()
        .filter_map(|step| conversation.take(step).err())
        .map(|error| format!("{error:#}"))
        .collect();
    let log = results.join("crictl.log");
    fs::write(&log, &conversation.said).with_context(|| format!("write {}", log.display()))?;
    for error in &wrong {
        eprintln!("crictl: {error}");
    }
    eprintln!(
        "crictl: {} of {} commands are right",
        STEPS.len() - wrong.len(),
        STEPS.len()
    );
    Ok(wrong.is_empty())
}

fn write_configurations(node: &Node) -> Result<()> {
    // As kubelet does it.
    let logs = node.folder().join("logs");
    fs::create_dir_all(&logs).with_context(|| format!("create {}", logs.display()))?;
    let labels = serde_json::json!({
        "io.kubernetes.pod.name": "by-hand",
        "io.kubernetes.pod.namespace": "default",
        "io.kubernetes.container.name": "main",
    });
    let pod = serde_json::json!({
        "metadata": { "name": "by-hand", "uid": "by-hand", "namespace": "default", "attempt": 0 },
        "log_directory": logs,
        "labels": labels,
        "linux": {},
    });
    let script =
        format!("echo {HELLO}; touch /tmp/said; trap exit TERM; while true; do sleep 1; done");
    let container = serde_json::json!({
        "metadata": { "name": "main", "attempt": 0 },
        "image": { "image": IMAGE },
        "command": ["sh", "-c", script],
        "log_path": "main.log",
        "labels": labels,
        "linux": {},
    });
    for (name, content) in [("pod.json", pod), ("container.json", container)] {
        let path = node.folder().join(name);
        fs::write(&path, content.to_string())
            .with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

struct Conversation<'a> {
    crictl: &'a Path,
    node: &'a Node,
    pod: String,
    container: String,
    said: String,
}

impl Conversation<'_> {
    fn take(&mut self, step: &Step) -> Result<()> {
        let folder = self.node.folder().to_string_lossy();
        let fill = |word: &str| {
            let word = word.replace("POD", &self.pod).replace("FOLDER", &folder);
            word.replace("CONTAINER", &self.container)
        };
        let arguments: Vec<String> = step.arguments.iter().map(|word| fill(word)).collect();
        let expected: Vec<String> = step.says.iter().map(|word| fill(word)).collect();
        let output = Command::new(self.crictl)
            .arg("--config")
            .arg(self.node.client_file())
            .args(&arguments)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("run {}", self.crictl.display()))?;
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let told = format!(
            "$ crictl {}\n{stdout}{stderr}({})\n\n",
            arguments.join(" "),
            output.status
        );
        self.said += &told;
        let line = stdout.trim().to_owned();
        match step.arguments.first() {
            Some(&"runp") => self.pod = line,
            Some(&"create") => self.container = line,
            _ => {}
        }
        let missing = expected.iter().find(|word| !stdout.contains(word.as_str()));
        match missing {
            _ if !output.status.success() => anyhow::bail!("{}", told.trim()),
            Some(word) => anyhow::bail!("no {word:?} in what it says: {}", told.trim()),
            None => Ok(()),
        }
    }
}
