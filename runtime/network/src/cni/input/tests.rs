//! A plugin's input, value for value.

use super::*;
use crate::cni::conf_list::Form;

fn list() -> ConfList {
    let text = br#"{"cniVersion": "1.1.0", "name": "net", "plugins": [
        {"type": "a", "name": "own", "cniVersion": "0.1.0", "mtu": 9000},
        {"type": "b", "capabilities": {"portMappings": true, "mac": false}}]}"#;
    ConfList::parse(text, Form::List).unwrap()
}

fn capabilities() -> Map<String, Value> {
    let all = json!({"portMappings": [{"hostPort": 1}], "mac": "02:00:00:00:00:01", "ips": []});
    all.as_object().unwrap().clone()
}

#[test]
fn first_plugin_gets_the_lists_name_and_version() {
    let list = list();
    assert_eq!(
        attachment(&list, &list.plugins[0], &capabilities(), None),
        json!({"type": "a", "name": "net", "cniVersion": "1.1.0", "mtu": 9000})
    );
}

#[test]
fn plugin_gets_the_capabilities_that_it_declares_and_the_result_before() {
    let list = list();
    let result = json!({"ips": []});
    assert_eq!(
        attachment(&list, &list.plugins[1], &capabilities(), Some(&result)),
        json!({
            "type": "b", "name": "net", "cniVersion": "1.1.0",
            "runtimeConfig": {"portMappings": [{"hostPort": 1}]},
            "prevResult": {"ips": []},
        })
    );
}

#[test]
fn collection_names_what_stays() {
    let list = list();
    let valid = [("p1".to_owned(), "eth0".to_owned())];
    assert_eq!(
        collection(&list, &list.plugins[1], &valid),
        json!({
            "type": "b", "name": "net", "cniVersion": "1.1.0",
            "cni.dev/valid-attachments": [{"containerID": "p1", "ifname": "eth0"}],
        })
    );
    let none = collection(&list, &list.plugins[1], &[]);
    assert_eq!(none["cni.dev/valid-attachments"], json!([]));
}
