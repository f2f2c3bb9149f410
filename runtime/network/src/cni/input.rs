//! What a plugin reads on its standard input: its own configuration with the list's name and version, and what this call adds
//! (CNI specification 1.1, section 3). Pure functions.

use serde_json::{Map, Value, json};

use super::{ConfList, conf_list::PluginConf};

/// For ADD, DEL and CHECK. `result` is that of the plugin before (ADD) or of the whole list.
pub(crate) fn attachment(
    list: &ConfList,
    plugin: &PluginConf,
    capabilities: &Map<String, Value>,
    result: Option<&Value>,
) -> Value {
    let mut conf = base(list, plugin);
    let declared = plugin.conf.get("capabilities").and_then(Value::as_object);
    let wanted: Map<String, Value> = capabilities
        .iter()
        .filter(|(name, _)| {
            let declared = declared.and_then(|declared| declared.get(name.as_str()));
            declared.and_then(Value::as_bool).unwrap_or_default()
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if !wanted.is_empty() {
        conf.insert("runtimeConfig".to_owned(), wanted.into());
    }
    if let Some(result) = result {
        conf.insert("prevResult".to_owned(), result.clone());
    }
    conf.into()
}

/// For GC: the attachments, as container id and interface name, that are to stay.
pub(crate) fn collection(
    list: &ConfList,
    plugin: &PluginConf,
    valid: &[(String, String)],
) -> Value {
    let mut conf = base(list, plugin);
    let each = valid.iter();
    let valid: Vec<Value> = each
        .map(|(id, interface)| json!({"containerID": id, "ifname": interface}))
        .collect();
    conf.insert("cni.dev/valid-attachments".to_owned(), valid.into());
    conf.into()
}

/// For STATUS.
pub(crate) fn status(list: &ConfList, plugin: &PluginConf) -> Value {
    base(list, plugin).into()
}

fn base(list: &ConfList, plugin: &PluginConf) -> Map<String, Value> {
    let mut conf = plugin.conf.clone();
    // What a plugin can do is said to us, not to it.
    conf.remove("capabilities");
    conf.insert("name".to_owned(), list.name.clone().into());
    conf.insert("cniVersion".to_owned(), list.version.as_str().into());
    conf
}

#[cfg(test)]
mod tests;
