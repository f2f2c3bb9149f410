//! The pods' network of a test: Debian's CNI plugins, a veth pair from the node to each pod, addresses that nobody else here has. Main
//! function: [`prepare`].

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;
use toml::{Table, Value};

/// For documentation (RFC 5737, RFC 3849): no host of anybody has them.
const IPV4: &str = "192.0.2.0/24";
const IPV6: &str = "2001:db8:cf::/64";

/// Where Debian has the plugins.
const PLUGINS: &str = "/usr/lib/cni";

/// Folder of the leases below a test's network folder.
pub(crate) const LEASES: &str = "leases";

/// Folder of a test's own plugins below its network folder. They are found before the real ones.
pub(crate) const OWN_PLUGINS: &str = "bin";

/// Writes the network's configuration below `folder`, and says what the daemon's says of it.
pub(crate) fn prepare(folder: &Path) -> Result<Table> {
    let conf_dir = folder.join("net.d");
    fs::create_dir_all(&conf_dir).context("make the folder of the CNI configuration")?;
    let list = json!({
        "cniVersion": "1.0.0",
        "name": "e2e",
        "plugins": [{
            "type": "ptp",
            "ipam": {
                "type": "host-local",
                "dataDir": folder.join(LEASES),
                "ranges": [[{ "subnet": IPV4 }], [{ "subnet": IPV6 }]],
                "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }],
            },
        }],
    });
    fs::write(conf_dir.join("10-e2e.conflist"), list.to_string())
        .context("write the CNI configuration")?;
    let own = folder.join(OWN_PLUGINS);
    fs::create_dir_all(&own).context("make the folder of a test's own plugins")?;
    let text = |path: &Path| Value::String(path.to_string_lossy().into_owned());
    Ok(Table::from_iter([
        ("conf_dir".to_owned(), text(&conf_dir)),
        (
            "bin_dirs".to_owned(),
            Value::Array(vec![text(&own), text(Path::new(PLUGINS))]),
        ),
    ]))
}
