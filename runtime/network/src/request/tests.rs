//! What plugins are told about a pod.

use super::*;

fn request() -> PodRequest {
    PodRequest {
        pod: "p1".parse().unwrap(),
        namespace: "default".to_owned(),
        name: "web".to_owned(),
        uid: "6f3".to_owned(),
        annotations: BTreeMap::new(),
        port_mappings: Vec::new(),
        bandwidth: None,
        dns: None,
        ips: Vec::new(),
        mac: None,
        cgroup_path: None,
        queues: Some(NonZeroU8::MIN),
    }
}

#[test]
fn args_name_the_pod() {
    let args = request().cni_args().unwrap();
    assert_eq!(
        args,
        "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID=p1;K8S_POD_UID=6f3"
    );
}

#[test]
fn args_of_a_name_with_a_separator_are_refused() {
    for name in ["a;K8S_POD_NAME=b", "a=b", "a\nb", ""] {
        let mut request = request();
        request.name = name.to_owned();
        let error = request.cni_args().unwrap_err();
        assert!(error.to_string().contains("the pod's name"), "{error}");
    }
}

#[test]
fn capabilities_of_a_plain_pod_are_none() {
    assert_eq!(request().capabilities(0), Map::new());
}

#[test]
fn capabilities_have_the_names_of_the_conventions() {
    let mut request = request();
    request.port_mappings = vec![PortMapping {
        host_port: NonZeroU16::new(8080).unwrap(),
        container_port: NonZeroU16::new(80).unwrap(),
        protocol: Protocol::Tcp,
        host_ip: Some("192.0.2.1".parse().unwrap()),
    }];
    request.bandwidth = Some(Bandwidth {
        ingress_rate: 1,
        ingress_burst: 2,
        egress_rate: 3,
        egress_burst: 4,
    });
    request.ips = vec![Prefix {
        address: "10.0.0.9".parse().unwrap(),
        length: 24,
    }];
    request.mac = Some("02:00:00:00:00:01".parse().unwrap());
    request.cgroup_path = Some("/kubepods/p1".to_owned());
    request.dns = Some(Dns {
        servers: vec!["10.0.0.2".to_owned()],
        searches: vec!["svc".to_owned()],
        options: vec!["ndots:5".to_owned()],
    });
    request.annotations.insert("k".to_owned(), "v".to_owned());
    let both = json!({
        "bandwidth": {"ingressRate": 1, "ingressBurst": 2, "egressRate": 3, "egressBurst": 4},
        "dns": {"servers": ["10.0.0.2"], "searches": ["svc"], "options": ["ndots:5"]},
        "cgroupPath": "/kubepods/p1",
        "io.kubernetes.cri.pod-annotations": {"k": "v"},
    });
    let mut first = both.clone();
    first["portMappings"] = json!([
        {"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "192.0.2.1"}
    ]);
    first["ips"] = json!(["10.0.0.9/24"]);
    first["mac"] = json!("02:00:00:00:00:01");
    assert_eq!(Value::from(request.capabilities(0)), first);
    assert_eq!(Value::from(request.capabilities(1)), both);
}
