//! What is given, what is assumed, what is refused.

use super::*;

#[test]
fn config_with_our_folders_alone_takes_the_usual_places() {
    let config: NetworkConfig =
        serde_json::from_str(r#"{"state_dir": "/s", "run_dir": "/r"}"#).unwrap();
    assert_eq!(config.conf_dir, PathBuf::from("/etc/cni/net.d"));
    let usual: Vec<PathBuf> = vec!["/opt/cni/bin".into(), "/usr/lib/cni".into()];
    assert_eq!(config.bin_dirs, usual);
    assert_eq!(config.max_networks.get(), 1);
}

#[test]
fn config_with_a_misspelt_key_or_no_network_is_refused() {
    for text in [
        r#"{"state_dir": "/s", "run_dir": "/r", "conf_dirs": "/c"}"#,
        r#"{"state_dir": "/s", "run_dir": "/r", "max_networks": 0}"#,
        r#"{"run_dir": "/r"}"#,
    ] {
        serde_json::from_str::<NetworkConfig>(text).unwrap_err();
    }
}
