//! What an ADD answered. Main functions: [`parse`], which looks at a plugin's bytes (their length is limited where they are read), and
//! [`ips`], which takes from a result what a kubelet wants to know (CNI specification 1.1, section 5).

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::{Map, Value};
use thiserror::Error;

use super::{BadVersion, CniVersion};

/// Most addresses of a pod that are believed.
const MAX_IPS: usize = 64;

/// An answer that is no result.
#[derive(Debug, Error)]
pub enum ResultError {
    /// Not JSON.
    #[error("read the answer as JSON")]
    Json(#[source] serde_json::Error),
    /// In a version that isn't spoken here.
    #[error("read the answer")]
    Version(#[source] BadVersion),
    /// Not of a result's form.
    #[error("read the answer as a CNI result")]
    Form(#[source] serde_json::Error),
    /// An address that is none.
    #[error("the answer's address \"{}\" is no IP address with a prefix", text.escape_debug())]
    Address {
        /// What stands there.
        text: String,
    },
    /// More than anybody needs.
    #[error("the answer has more than {MAX_IPS} addresses")]
    Many,
}

/// The part of a result that is read here.
#[derive(Debug, Deserialize)]
struct Shape {
    #[serde(default)]
    interfaces: Option<Vec<Interface>>,
    #[serde(default)]
    ips: Option<Vec<Ip>>,
}

#[derive(Debug, Deserialize)]
struct Interface {
    name: String,
    #[serde(default)]
    sandbox: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Ip {
    address: String,
    /// An index into the interfaces. Some plugins write −1 for none.
    #[serde(default)]
    interface: Option<i64>,
}

/// A result as the next plugin, and a later DEL, are to see it: with the version that was agreed on.
pub(crate) fn parse(bytes: &[u8], version: CniVersion) -> Result<Value, ResultError> {
    let mut result: Map<String, Value> =
        serde_json::from_slice(bytes).map_err(ResultError::Json)?;
    // A plugin that says no version, or an older one whose results have the same form, is taken at the list's.
    if let Some(Value::String(said)) = result.get("cniVersion") {
        said.parse::<CniVersion>().map_err(ResultError::Version)?;
    }
    result.insert("cniVersion".to_owned(), version.as_str().into());
    if let Some(Value::Array(ips)) = result.get_mut("ips") {
        ips.iter_mut().for_each(|ip| match_form(ip, version));
    }
    let result = Value::from(result);
    // Read once here, so that an answer which is no result fails the plugin that gave it.
    addresses(&result)?;
    Ok(result)
}

/// Until 0.4.0 an address had its IP version beside it, from 1.0.0 on it may not.
fn match_form(ip: &mut Value, version: CniVersion) {
    let Some(ip) = ip.as_object_mut() else {
        return;
    };
    if version >= CniVersion::V1_0_0 {
        ip.remove("version");
    } else if let Some(address) = ip.get("address").and_then(Value::as_str) {
        let family = if address.contains(':') { "6" } else { "4" };
        ip.insert("version".to_owned(), family.into());
    }
}

/// The addresses of the pod's interface `name`, in the order of the answer: the first is the primary one. An address that is said to be
/// on no interface is the pod's; one on another interface, or on the node's end, is not.
pub(crate) fn ips(result: &Value, name: &str) -> Result<Vec<IpAddr>, ResultError> {
    let interfaces = shape(result)?.interfaces.unwrap_or_default();
    let is_ours = |index: Option<usize>| match index.and_then(|index| interfaces.get(index)) {
        Some(interface) => {
            interface.name == name
                && interface
                    .sandbox
                    .as_deref()
                    .is_some_and(|at| !at.is_empty())
        }
        None => true,
    };
    let all = addresses(result)?.into_iter();
    Ok(all
        .filter(|(_, index)| is_ours(*index))
        .map(|(address, _)| address)
        .collect())
}

fn shape(result: &Value) -> Result<Shape, ResultError> {
    Shape::deserialize(result).map_err(ResultError::Form)
}

fn addresses(result: &Value) -> Result<Vec<(IpAddr, Option<usize>)>, ResultError> {
    let ips = shape(result)?.ips.unwrap_or_default();
    if ips.len() > MAX_IPS {
        return Err(ResultError::Many);
    }
    let read = |ip: Ip| {
        let address = address(&ip.address).ok_or(ResultError::Address { text: ip.address })?;
        let index = ip.interface.and_then(|index| usize::try_from(index).ok());
        Ok((address, index))
    };
    ips.into_iter().map(read).collect()
}

fn address(text: &str) -> Option<IpAddr> {
    let (address, length) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length: u8 = length.parse().ok()?;
    (length <= most).then_some(address)
}

#[cfg(test)]
mod tests;
