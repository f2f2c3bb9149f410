//! `[cri.runtime_handlers]`: what the handlers that a RuntimeClass may name are for, and what VMs of theirs have of their own. Main type:
//! [`RuntimeHandlers`].

use std::{collections::BTreeMap, num::NonZeroU8, path::PathBuf};

use cri_server::{Guest, Handler, HandlerKind, VmDefaults};
use serde::Deserialize;
use toml::Value;

use super::LEAST_MEMORY_MIB;

/// By name, checked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub(crate) struct RuntimeHandlers(BTreeMap<String, RuntimeHandler>);

/// One of them. What it does not say is as for a pod without a class.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuntimeHandler {
    kind: HandlerKind,
    kernel: Option<PathBuf>,
    guest_image: Option<PathBuf>,
    kernel_arguments: Option<String>,
    cpus: Option<NonZeroU8>,
    memory_mib: Option<u32>,
    overhead_mib: Option<u32>,
}

impl TryFrom<Value> for RuntimeHandlers {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let handlers: Result<_, String> = match value {
            // The form of before there were kinds.
            Value::Array(names) => names.into_iter().map(of_name).collect(),
            Value::Table(table) => table.into_iter().map(of_table).collect(),
            other => Err(format!(
                "cri.runtime_handlers is a {}, no table of names, as in cofferdam = {{ kind = \"vm\" }}, and no list of names",
                other.type_str()
            )),
        };
        handlers.map(Self)
    }
}

fn of_name(name: Value) -> Result<(String, RuntimeHandler), String> {
    let Value::String(name) = name else {
        return Err(format!(
            "cri.runtime_handlers names a {}, no handler",
            name.type_str()
        ));
    };
    let handler = RuntimeHandler {
        kind: HandlerKind::Vm,
        kernel: None,
        guest_image: None,
        kernel_arguments: None,
        cpus: None,
        memory_mib: None,
        overhead_mib: None,
    };
    Ok((name, handler))
}

fn of_table((name, value): (String, Value)) -> Result<(String, RuntimeHandler), String> {
    let wrong = |what: &str| format!("cri.runtime_handlers.{name} {what}");
    let handler: RuntimeHandler = value
        .try_into()
        .map_err(|error: toml::de::Error| wrong(&format!("is not right: {}", error.message())))?;
    if handler.kind == HandlerKind::Host
        && let Some(key) = handler.first_of_a_vm()
    {
        return Err(wrong(&format!(
            "is for pods on the node, which have no {key}"
        )));
    }
    if handler.memory_mib.is_some_and(|mib| mib < LEAST_MEMORY_MIB) {
        return Err(wrong(&format!("has a memory_mib below {LEAST_MEMORY_MIB}")));
    }
    Ok((name, handler))
}

impl RuntimeHandler {
    /// The first key that it has of those that say what is in a VM.
    fn first_of_a_vm(&self) -> Option<&'static str> {
        let said = [
            ("kernel", self.kernel.is_some()),
            ("guest_image", self.guest_image.is_some()),
            ("kernel_arguments", self.kernel_arguments.is_some()),
            ("cpus", self.cpus.is_some()),
            ("memory_mib", self.memory_mib.is_some()),
            ("overhead_mib", self.overhead_mib.is_some()),
        ];
        said.into_iter().find_map(|(key, is)| is.then_some(key))
    }

    fn laid_over(&self, usual: &Guest) -> Handler {
        if self.kind == HandlerKind::Host {
            return Handler::Host;
        }
        let or = |path: &Option<PathBuf>, usual: &PathBuf| path.as_ref().unwrap_or(usual).clone();
        let arguments = self.kernel_arguments.as_ref();
        Handler::Vm(Guest {
            kernel: or(&self.kernel, &usual.kernel),
            image: or(&self.guest_image, &usual.image),
            kernel_arguments: arguments.unwrap_or(&usual.kernel_arguments).clone(),
            size: VmDefaults {
                processors: self.cpus.map_or(usual.size.processors, NonZeroU8::get),
                memory_mib: self.memory_mib.unwrap_or(usual.size.memory_mib),
                overhead_mib: self.overhead_mib.unwrap_or(usual.size.overhead_mib),
            },
        })
    }
}

impl RuntimeHandlers {
    /// Each with all that its pods get, where `usual` is what one without a class gets.
    pub(crate) fn laid_over(&self, usual: &Guest) -> BTreeMap<String, Handler> {
        let handlers = self.0.iter();
        handlers
            .map(|(name, handler)| (name.clone(), handler.laid_over(usual)))
            .collect()
    }
}

#[cfg(test)]
mod tests;
