//! `cofferdam version`: what this build is and which contracts it speaks.

use serde::Serialize;

use crate::output;

#[derive(Debug, Serialize)]
struct Version {
    version: &'static str,
    agent_protocol: u32,
    monitor_protocol: u32,
}

/// Prints them.
pub(crate) fn version(json: bool) -> anyhow::Result<()> {
    let version = Version {
        version: env!("CARGO_PKG_VERSION"),
        agent_protocol: pod::AGENT_PROTOCOL,
        monitor_protocol: pod::MONITOR_PROTOCOL,
    };
    if json {
        return output::json(&version);
    }
    output::line(&format!("cofferdam {}", version.version))?;
    output::line(&format!("agent protocol {}", version.agent_protocol))?;
    output::line(&format!("monitor protocol {}", version.monitor_protocol))?;
    Ok(())
}
