//! The files that a pod gives to its containers.

use agent_client::{AgentError, PodStart};
use serde_json::json;

use crate::host::{DEADLINE, Host, shell};

fn pod() -> PodStart {
    PodStart {
        pod_id: "p".into(),
        resolv_conf: b"nameserver 10.96.0.10\n".to_vec(),
        hosts: b"127.0.0.1 localhost\n10.1.0.2 web\n".to_vec(),
        ..PodStart::default()
    }
}

#[tokio::test]
async fn containers_share_the_pods_files() {
    let Some(host) = Host::start().await else {
        return;
    };
    host.agent.start_pod(pod(), DEADLINE).await.unwrap();
    let all = "cat /etc/resolv.conf /etc/hosts /etc/hostname; echo 10.1.0.3 db >>/etc/hosts";
    let expect = "nameserver 10.96.0.10\n127.0.0.1 localhost\n10.1.0.2 web\ninside\n";
    let first = host.run(shell(all)).await;
    assert_eq!((first.stdout.as_str(), first.stderr.as_str()), (expect, ""));
    let mut read_only = shell("tail -n 1 /etc/hosts; echo x >>/etc/hosts || echo no");
    read_only.writable_bytes = 0;
    assert_eq!(host.run(read_only).await.stdout, "10.1.0.3 db\nno\n");
    let mut own = shell("cat /etc/hosts; ls /etc");
    own.spec["mounts"].as_array_mut().unwrap().push(json!(
        {"destination": "/etc/hosts", "type": "bind", "source": "/dev/null", "options": ["bind"]}
    ));
    assert_eq!(
        host.run(own).await.stdout,
        "hostname\nhosts\npasswd\nplain\nresolv.conf\n"
    );
    host.stop().await;
}

#[tokio::test]
async fn links_of_the_image_do_not_lead_a_file_outside() {
    let Some(host) = Host::start().await else {
        return;
    };
    let outside = host.link_in_image("/etc/resolv.conf");
    host.agent.start_pod(pod(), DEADLINE).await.unwrap();
    let finished = host.run(shell("cat /etc/resolv.conf")).await;
    assert_eq!(
        finished.stdout, "nameserver 10.96.0.10\n",
        "{}",
        finished.stderr
    );
    assert!(!outside.exists());
    host.stop().await;
}

#[tokio::test]
async fn file_over_the_limit_is_refused() {
    let Some(host) = Host::start().await else {
        return;
    };
    let mut large = pod();
    large.hosts = vec![b'#'; (64 << 10) + 1];
    let refused = host.agent.start_pod(large, DEADLINE).await;
    let Err(AgentError::Invalid { message }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(message, "hosts has 65537 bytes, the limit is 65536");
    // Without files a container has its image's.
    let plain = PodStart {
        pod_id: "p".into(),
        ..PodStart::default()
    };
    host.agent.start_pod(plain, DEADLINE).await.unwrap();
    assert_eq!(host.run(shell("ls /etc")).await.stdout, "passwd\nplain\n");
    host.stop().await;
}
