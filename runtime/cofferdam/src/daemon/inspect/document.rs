//! What `inspect` shows: keys in an order for people. Main type: [`Document`]. Pure.

use std::collections::BTreeMap;

use cri::v1::{Container, ContainerState, ContainerStatus, Image, PodSandbox, PodSandboxStatus};
use serde_json::{Map, Value, json};

use crate::daemon::show;

const INDENT: &str = "  ";
const US_PER_MS: f64 = 1000.0;

/// Keys and values; one that has nothing to say is left out.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Document(Vec<(&'static str, Value)>);

pub(super) fn pod(status: &PodSandboxStatus, info: &Value, containers: &[&Container]) -> Document {
    let metadata = status.metadata.clone().unwrap_or_default();
    let network = status.network.clone().unwrap_or_default();
    let more_ips = network.additional_ips.into_iter().map(|ip| ip.ip);
    let ips: Vec<String> = [network.ip].into_iter().chain(more_ips).collect();
    let containers = containers.iter().map(|container| {
        let metadata = container.metadata.clone().unwrap_or_default();
        json!({
            "id": container.id,
            "name": metadata.name,
            "state": show::container_state(container.state()),
        })
    });
    let mut document = Document::default();
    document.add("kind", "pod");
    document.add("id", status.id.as_str());
    document.add("name", metadata.name);
    document.add("namespace", metadata.namespace);
    document.add("uid", metadata.uid);
    document.add("attempt", metadata.attempt);
    document.add("state", show::sandbox_state(status.state()));
    document.add("cause", info["cause"].clone());
    document.add("created_at", show::moment(status.created_at));
    document.add(
        "ips",
        ips.into_iter()
            .filter(|ip| !ip.is_empty())
            .collect::<Vec<_>>(),
    );
    document.add("runtime_handler", status.runtime_handler.as_str());
    document.add("pid", info["pid"].clone());
    document.add("cgroup", info["cgroup"].clone());
    document.add("start", stages(info));
    document.add("containers", containers.collect::<Vec<_>>());
    document.add_maps(&status.labels, &status.annotations);
    document
}

/// In milliseconds; the sum is the last one.
fn stages(info: &Value) -> Vec<Value> {
    let stages = info["start"].as_array().cloned().unwrap_or_default();
    let us = |stage: &Value| stage["us"].as_f64().unwrap_or(0.0);
    let total: f64 = stages.iter().map(us).sum();
    let row = |name: &Value, us: f64| json!({"ms": us / US_PER_MS, "stage": name});
    let mut rows: Vec<Value> = stages
        .iter()
        .map(|stage| row(&stage["name"], us(stage)))
        .collect();
    if !rows.is_empty() {
        rows.push(row(&json!("in all"), total));
    }
    rows
}

pub(super) fn container(
    status: &ContainerStatus,
    pod_id: &str,
    pod: Option<&PodSandbox>,
) -> Document {
    let metadata = status.metadata.clone().unwrap_or_default();
    let image = status.image.clone().unwrap_or_default();
    let pod = pod.and_then(|pod| pod.metadata.clone()).unwrap_or_default();
    let ended = status.state() == ContainerState::ContainerExited;
    let mut document = Document::default();
    document.add("kind", "container");
    document.add("id", status.id.as_str());
    document.add("name", metadata.name);
    document.add("attempt", metadata.attempt);
    document.add("pod_id", pod_id);
    document.add("pod", pod.name);
    document.add("namespace", pod.namespace);
    document.add("state", show::container_state(status.state()));
    document.add("exit_code", ended.then_some(status.exit_code));
    document.add("reason", status.reason.as_str());
    document.add("message", status.message.as_str());
    document.add("created_at", show::moment(status.created_at));
    document.add("started_at", show::moment(status.started_at));
    document.add("finished_at", show::moment(status.finished_at));
    document.add("image", image.image);
    document.add("image_id", status.image_id.as_str());
    document.add("log_path", status.log_path.as_str());
    document.add_maps(&status.labels, &status.annotations);
    document
}

pub(super) fn image(image: &Image) -> Document {
    let mut document = Document::default();
    document.add("kind", "image");
    document.add("id", image.id.as_str());
    document.add("names", image.repo_tags.clone());
    document.add("repo_digests", image.repo_digests.clone());
    document.add("size_bytes", image.size);
    document.add("uid", image.uid.as_ref().map(|uid| uid.value));
    document.add("username", image.username.as_str());
    document
}

impl Document {
    fn add(&mut self, key: &'static str, value: impl Into<Value>) {
        let value = value.into();
        let says_nothing = match &value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            Value::Bool(_) | Value::Number(_) => false,
        };
        if !says_nothing {
            self.0.push((key, value));
        }
    }

    fn add_maps(
        &mut self,
        labels: &BTreeMap<String, String>,
        annotations: &BTreeMap<String, String>,
    ) {
        self.add("labels", json!(labels));
        self.add("annotations", json!(annotations));
    }

    pub(super) fn json(&self) -> Value {
        let pairs = self.0.iter();
        let pairs = pairs.map(|(key, value)| ((*key).to_owned(), value.clone()));
        Value::Object(pairs.collect::<Map<_, _>>())
    }

    /// A line for each key, and below it one for each part of what has parts.
    pub(super) fn text(&self) -> String {
        let mut lines = Vec::new();
        for (key, value) in &self.0 {
            let parts = match value {
                Value::Array(list) => list.iter().map(part).collect(),
                Value::Object(map) => map
                    .iter()
                    .map(|(key, value)| format!("{key}: {}", plain(value)))
                    .collect(),
                _ => {
                    lines.push(format!("{key}: {}", plain(value)));
                    Vec::new()
                }
            };
            if !parts.is_empty() {
                lines.push(format!("{key}:"));
            }
            lines.extend(parts.iter().map(|part| format!("{INDENT}{part}")));
        }
        lines.join("\n")
    }
}

/// One of a list: a stage as a row of a table, any other thing as its values.
fn part(value: &Value) -> String {
    match value {
        Value::Object(map) => match map.get("ms").and_then(Value::as_f64) {
            Some(ms) => format!("{ms:>9.1} ms  {}", plain(&value["stage"])),
            None => {
                let values: Vec<String> = map.values().map(plain).collect();
                values.join("  ")
            }
        },
        _ => plain(value),
    }
}

/// What others have chosen, as a message or an annotation, writes nothing to a terminal but letters.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text
            .chars()
            .flat_map(|letter| {
                let control = letter.is_control();
                let shown = (!control).then_some(letter);
                let escaped = control.then(|| letter.escape_default());
                shown.into_iter().chain(escaped.into_iter().flatten())
            })
            .collect(),
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests;
