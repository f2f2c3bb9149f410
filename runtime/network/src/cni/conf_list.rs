//! One network: a list of plugins, read from bytes that an operator or an installer wrote. Main type: [`ConfList`]
//! (CNI specification 1.1, section 1). What a plugin alone understands is carried as it is.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use super::{BadVersion, CniVersion};

/// A network's plugins, in the order in which they are added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ConfList {
    pub(crate) name: String,
    pub(crate) version: CniVersion,
    pub(crate) disable_check: bool,
    pub(crate) disable_gc: bool,
    pub(crate) plugins: Vec<PluginConf>,
}

/// One plugin's part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PluginConf {
    /// The name of its program.
    pub(crate) program: String,
    /// All that was written for it.
    pub(crate) conf: Map<String, Value>,
}

/// How a file holds a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A list of plugins.
    List,
    /// One plugin, which is wrapped in a list.
    Single,
}

/// A configuration that can't be used.
#[derive(Debug, Error)]
pub enum ConfListError {
    /// Not JSON.
    #[error("read it as JSON")]
    Json(#[source] serde_json::Error),
    /// Its version.
    #[error("agree on a version")]
    Version(#[source] BadVersion),
    /// A field.
    #[error("{field} {problem}")]
    Field {
        /// Its name.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

fn field(field: &'static str, problem: impl Into<String>) -> ConfListError {
    let problem = problem.into();
    ConfListError::Field { field, problem }
}

impl ConfList {
    /// Reads one file's content. `cniVersion` has no default here: what the specification assumes without it, 0.1.0, has no lists.
    pub(crate) fn parse(bytes: &[u8], form: Form) -> Result<Self, ConfListError> {
        let mut conf: Map<String, Value> =
            serde_json::from_slice(bytes).map_err(ConfListError::Json)?;
        let plugins = match form {
            Form::List => listed(conf.remove("plugins"))?,
            Form::Single if conf.contains_key("plugins") => {
                let advice = "are in a file for one plugin: name a list *.conflist";
                return Err(field("plugins", advice));
            }
            Form::Single => vec![PluginConf::parse(conf.clone())?],
        };
        Ok(Self {
            name: name(&conf)?,
            version: version(&conf)?,
            disable_check: switch(&conf, "disableCheck")?,
            disable_gc: switch(&conf, "disableGC")?,
            plugins,
        })
    }
}

impl PluginConf {
    fn parse(conf: Map<String, Value>) -> Result<Self, ConfListError> {
        let program = text(&conf, "type")?;
        // It becomes the last part of a path.
        if program.is_empty() || program.contains('/') || matches!(program, "." | "..") {
            let problem = format!("\"{}\" is no file's name", program.escape_debug());
            return Err(field("type", problem));
        }
        Ok(Self {
            program: program.to_owned(),
            conf,
        })
    }
}

fn listed(plugins: Option<Value>) -> Result<Vec<PluginConf>, ConfListError> {
    let Some(Value::Array(plugins)) = plugins else {
        return Err(field("plugins", "is missing or no list"));
    };
    if plugins.is_empty() {
        return Err(field("plugins", "is empty"));
    }
    let parse = |plugin| match plugin {
        Value::Object(conf) => PluginConf::parse(conf),
        _ => Err(field("plugins", "holds something that is no object")),
    };
    plugins.into_iter().map(parse).collect()
}

fn text<'a>(conf: &'a Map<String, Value>, name: &'static str) -> Result<&'a str, ConfListError> {
    let value = conf.get(name).and_then(Value::as_str);
    value.ok_or_else(|| field(name, "is missing or no text"))
}

fn name(conf: &Map<String, Value>) -> Result<String, ConfListError> {
    let name = text(conf, "name")?;
    let follows = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let starts = name
        .as_bytes()
        .first()
        .is_some_and(u8::is_ascii_alphanumeric);
    if starts && name.bytes().all(follows) {
        Ok(name.to_owned())
    } else {
        let problem = format!(
            "\"{}\" is not made of letters, digits and _.-, beginning with a letter or digit",
            name.escape_debug()
        );
        Err(field("name", problem))
    }
}

/// The highest version of `cniVersions` that is spoken here too, else `cniVersion`.
fn version(conf: &Map<String, Value>) -> Result<CniVersion, ConfListError> {
    let offered = conf.get("cniVersions").and_then(Value::as_array);
    let offered = offered.into_iter().flatten().filter_map(Value::as_str);
    if let Some(best) = offered.filter_map(|text| text.parse().ok()).max() {
        return Ok(best);
    }
    text(conf, "cniVersion")?
        .parse()
        .map_err(ConfListError::Version)
}

/// Written as a boolean by most, as text in the specification until 1.0.
fn switch(conf: &Map<String, Value>, name: &'static str) -> Result<bool, ConfListError> {
    match conf.get(name) {
        None => Ok(false),
        Some(Value::Bool(on)) => Ok(*on),
        Some(Value::String(text)) if text == "true" => Ok(true),
        Some(Value::String(text)) if text == "false" => Ok(false),
        Some(_) => Err(field(name, "is neither true nor false")),
    }
}

#[cfg(test)]
mod tests;
