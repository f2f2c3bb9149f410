//! Removes what tests that failed left running: pods outlive their daemon. Main function: [`remove_all`].

use std::path::Path;

use anyhow::{Context, Result};
use cri::v1::runtime_service_client::RuntimeServiceClient;
use cri::v1::{ListPodSandboxRequest, RemovePodSandboxRequest};
use tonic::transport::Endpoint;

use crate::deadlines::START;

pub(crate) fn remove_all(socket: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("make a client")?;
    runtime.block_on(async {
        let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display()));
        let endpoint = endpoint.context("name the socket")?.timeout(START);
        let channel = endpoint.connect().await.context("reach the daemon")?;
        let mut client = RuntimeServiceClient::new(channel);
        let request = ListPodSandboxRequest::default();
        let listed = client
            .list_pod_sandbox(request)
            .await
            .context("list pods")?;
        for sandbox in listed.into_inner().items {
            let request = RemovePodSandboxRequest {
                pod_sandbox_id: sandbox.id,
            };
            client
                .remove_pod_sandbox(request)
                .await
                .context("remove a pod")?;
        }
        Ok(())
    })
}
