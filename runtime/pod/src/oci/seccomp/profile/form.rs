//! A seccomp profile as it is written: the fields of the OCI specification and docker's beside them. Words are kept as text, so that an unknown one
//! can be named with its place. Main type: [`Profile`]; `profile` above reads it.

use serde::{Deserialize, Deserializer};

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Profile {
    pub(super) default_action: String,
    pub(super) default_errno_ret: Option<u32>,
    #[serde(default, deserialize_with = "or_null")]
    pub(super) architectures: Vec<String>,
    #[serde(default, deserialize_with = "or_null")]
    pub(super) arch_map: Vec<Architecture>,
    #[serde(default, deserialize_with = "or_null")]
    pub(super) flags: Vec<String>,
    pub(super) listener_path: Option<String>,
    #[serde(default, deserialize_with = "or_null")]
    pub(super) syscalls: Vec<Rule>,
}

/// One entry of `archMap`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Architecture {
    pub(super) architecture: String,
    #[serde(default, deserialize_with = "or_null")]
    pub(super) sub_architectures: Vec<String>,
}

/// One entry of `syscalls`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rule {
    #[serde(default, deserialize_with = "or_null")]
    pub(super) names: Vec<String>,
    /// One call, as files of before 2017 have it.
    pub(super) name: Option<String>,
    pub(super) action: String,
    pub(super) errno_ret: Option<u32>,
    pub(super) args: Option<Vec<Argument>>,
    #[serde(default, deserialize_with = "or_null")]
    pub(super) includes: Condition,
    #[serde(default, deserialize_with = "or_null")]
    pub(super) excludes: Condition,
}

/// A comparison of one argument.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Argument {
    pub(super) index: usize,
    pub(super) value: u64,
    #[serde(default)]
    pub(super) value_two: u64,
    pub(super) op: String,
}

/// When a rule is there (`includes`) or is not (`excludes`).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Condition {
    #[serde(default, deserialize_with = "or_null")]
    pub(super) caps: Vec<String>,
    #[serde(default, deserialize_with = "or_null")]
    pub(super) arches: Vec<String>,
    pub(super) min_kernel: Option<String>,
}

/// Programs in Go write an empty list as null.
fn or_null<'de, Value, D>(from: D) -> Result<Value, D::Error>
where
    Value: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}
