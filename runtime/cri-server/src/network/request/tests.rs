//! What is asked of the plugins, and what is refused before.

use cri::v1::PodSandboxMetadata;

use super::*;

fn config() -> PodSandboxConfig {
    PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: "web".to_owned(),
            uid: "u".to_owned(),
            namespace: "shop".to_owned(),
            attempt: 0,
        }),
        ..PodSandboxConfig::default()
    }
}

fn ask(config: &PodSandboxConfig) -> Result<PodRequest, Refusal> {
    of(&"p1".parse().unwrap(), config, Some(12))
}

#[test]
fn pod_is_named_and_has_a_queue_for_each_processor_up_to_eight() {
    let request = ask(&config()).unwrap();
    assert_eq!(
        (&*request.namespace, &*request.name, &*request.uid),
        ("shop", "web", "u")
    );
    assert_eq!(request.queues.unwrap().get(), 8);
    assert_eq!(
        of(&"p1".parse().unwrap(), &config(), Some(0))
            .unwrap()
            .queues
            .unwrap()
            .get(),
        1
    );
    assert_eq!(request.bandwidth, None);
}

#[test]
fn ports_of_the_host_are_asked_for_and_checked() {
    let mapped = |host_port, container_port, host_ip: &str| PodSandboxConfig {
        port_mappings: vec![PortMapping {
            protocol: 1,
            container_port,
            host_port,
            host_ip: host_ip.to_owned(),
        }],
        ..config()
    };
    assert!(ask(&mapped(0, 80, "")).unwrap().port_mappings.is_empty());
    for (ip, expect) in [
        ("", None),
        ("0.0.0.0", None),
        ("127.0.0.1", Some("127.0.0.1")),
    ] {
        let request = ask(&mapped(8080, 80, ip)).unwrap();
        let [mapping] = &request.port_mappings[..] else {
            panic!("{request:?}")
        };
        assert_eq!(mapping.host_port.get(), 8080);
        assert_eq!(mapping.protocol, Protocol::Udp);
        assert_eq!(mapping.host_ip, expect.map(|ip| ip.parse().unwrap()));
    }
    for (bad, words) in [
        (mapped(70_000, 80, ""), "host_port 70000"),
        (mapped(-1, 80, ""), "host_port -1"),
        (mapped(80, 0, ""), "container_port 0"),
        (mapped(80, 80, "here"), "host_ip \"here\""),
    ] {
        let refusal = ask(&bad).unwrap_err();
        assert!(refusal.to_string().contains(words), "{refusal}");
    }
}

#[test]
fn bandwidth_comes_from_annotations() {
    let limited = |text: &str| PodSandboxConfig {
        annotations: [(INGRESS.to_owned(), text.to_owned())].into(),
        ..config()
    };
    let check = |text: &str, expect: u64| {
        let bandwidth = ask(&limited(text)).unwrap().bandwidth.unwrap();
        assert_eq!((bandwidth.ingress_rate, bandwidth.egress_rate), (expect, 0));
        assert!(bandwidth.ingress_burst > 0 && bandwidth.egress_burst == 0);
    };
    check("10M", 10_000_000);
    check("1Gi", 1 << 30);
    check("5", 5);
    for bad in ["fast", "", "1.5M", "10m", "-1", "99999999999999999999"] {
        assert!(ask(&limited(bad)).is_err(), "{bad}");
    }
}
