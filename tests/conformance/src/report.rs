//! critest's report, which is Ginkgo's (github.com/onsi/ginkgo, types.Report): what became of each spec. Main type: [`Report`].

use anyhow::{Result, ensure};
use serde::Deserialize;

/// All specs that critest knows, in the order in which they ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) specs: Vec<Spec>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spec {
    /// Its groups and its own text, joined by " / ".
    pub(crate) name: String,
    pub(crate) outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    /// The first lines of what went wrong.
    Failed(String),
    /// It looked at the node and said why not.
    Skipped(String),
    /// It was not to run: a filter, or a benchmark.
    NotSelected,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Suite {
    #[serde(default)]
    spec_reports: Option<Vec<SpecReport>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SpecReport {
    container_hierarchy_texts: Option<Vec<String>>,
    leaf_node_type: String,
    leaf_node_text: String,
    state: String,
    #[serde(default)]
    failure: Failure,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct Failure {
    #[serde(default)]
    message: String,
}

impl Report {
    pub(crate) fn parse(json: &str) -> Result<Self> {
        let suites: Vec<Suite> = serde_json::from_str(json)?;
        let reports = suites.into_iter().flat_map(|suite| suite.spec_reports);
        // The rest is what runs before and after all of them.
        let specs = reports.flatten().filter(|spec| spec.leaf_node_type == "It");
        let specs: Vec<Spec> = specs.map(SpecReport::into_spec).collect();
        ensure!(!specs.is_empty(), "it has no spec");
        Ok(Self { specs })
    }
}

impl SpecReport {
    fn into_spec(self) -> Spec {
        let mut words = self.container_hierarchy_texts.unwrap_or_default();
        words.push(self.leaf_node_text);
        let message = self.failure.message;
        let outcome = match self.state.as_str() {
            "passed" => Outcome::Passed,
            "skipped" | "pending" if message.is_empty() => Outcome::NotSelected,
            "skipped" | "pending" => Outcome::Skipped(message),
            // Failed, panicked, interrupted, aborted, timed out.
            state => Outcome::Failed(format!("{state}: {message}")),
        };
        Spec {
            name: words.join(" / "),
            outcome,
        }
    }
}

#[cfg(test)]
mod tests;
