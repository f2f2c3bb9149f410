//! The runtime service: hands each call to its file in `rpc`. Main type: [`RuntimeDoor`]; [`answer`] is around every call.

use std::{pin::Pin, sync::Arc};

use cri::v1::{
    AttachRequest, AttachResponse, CheckpointContainerRequest, CheckpointContainerResponse,
    ContainerEventResponse, ContainerStatsRequest, ContainerStatsResponse, ContainerStatusRequest,
    ContainerStatusResponse, CreateContainerRequest, CreateContainerResponse, ExecRequest,
    ExecResponse, ExecSyncRequest, ExecSyncResponse, GetEventsRequest, ListContainerStatsRequest,
    ListContainerStatsResponse, ListContainersRequest, ListContainersResponse,
    ListMetricDescriptorsRequest, ListMetricDescriptorsResponse, ListPodSandboxMetricsRequest,
    ListPodSandboxMetricsResponse, ListPodSandboxRequest, ListPodSandboxResponse,
    ListPodSandboxStatsRequest, ListPodSandboxStatsResponse, PodSandboxStatsRequest,
    PodSandboxStatsResponse, PodSandboxStatusRequest, PodSandboxStatusResponse, PortForwardRequest,
    PortForwardResponse, RemoveContainerRequest, RemoveContainerResponse, RemovePodSandboxRequest,
    RemovePodSandboxResponse, ReopenContainerLogRequest, ReopenContainerLogResponse,
    RunPodSandboxRequest, RunPodSandboxResponse, RuntimeConfigRequest, RuntimeConfigResponse,
    StartContainerRequest, StartContainerResponse, StatusRequest, StatusResponse,
    StopContainerRequest, StopContainerResponse, StopPodSandboxRequest, StopPodSandboxResponse,
    StreamContainerStatsRequest, StreamContainerStatsResponse, StreamContainersRequest,
    StreamContainersResponse, StreamPodSandboxMetricsRequest, StreamPodSandboxMetricsResponse,
    StreamPodSandboxStatsRequest, StreamPodSandboxStatsResponse, StreamPodSandboxesRequest,
    StreamPodSandboxesResponse, UpdateContainerResourcesRequest, UpdateContainerResourcesResponse,
    UpdatePodSandboxResourcesRequest, UpdatePodSandboxResourcesResponse,
    UpdateRuntimeConfigRequest, UpdateRuntimeConfigResponse, VersionRequest, VersionResponse,
    runtime_service_server::RuntimeService,
};
use streaming::Server;
use tokio_stream::Stream;
use tonic::{Code, Request, Response, Status};
use tracing::{Instrument, field::Empty};

use crate::{
    node::Node,
    rpc::{
        self,
        not_served::{self, not_served},
        stream::{self, Pieces},
    },
};

/// The door; beside the node, who gives out the URLs of streams.
#[derive(Debug, Clone)]
pub(crate) struct RuntimeDoor(pub(crate) Arc<Node>, pub(crate) Server);

pub(crate) type Answer<Message> = Result<Response<Message>, Status>;

type Events = Pin<Box<dyn Stream<Item = Result<ContainerEventResponse, Status>> + Send>>;

/// Does a call within its span, whose ids are filled in when they are known, and logs how it failed, once.
pub(crate) async fn answer<Message>(
    rpc: &'static str,
    call: impl Future<Output = Result<Message, Status>>,
) -> Answer<Message> {
    let span = tracing::info_span!("rpc", rpc, pod = Empty, container = Empty);
    let logged = async {
        let result = call.await;
        if let Err(status) = &result {
            let (code, message) = (status.code(), status.message());
            match code {
                // Clients ask after what is gone, and whether we can do something, all the time.
                Code::NotFound | Code::Unimplemented => {
                    tracing::debug!(?code, message, "refused");
                }
                _ => tracing::warn!(?code, message, "failed"),
            }
        }
        result.map(Response::new)
    };
    logged.instrument(span).await
}

#[tonic::async_trait]
impl RuntimeService for RuntimeDoor {
    async fn version(&self, _request: Request<VersionRequest>) -> Answer<VersionResponse> {
        answer("Version", async { Ok(rpc::version::version(&self.0)) }).await
    }

    async fn run_pod_sandbox(
        &self,
        request: Request<RunPodSandboxRequest>,
    ) -> Answer<RunPodSandboxResponse> {
        answer(
            "RunPodSandbox",
            rpc::run_pod_sandbox::run_pod_sandbox(&self.0, request.into_inner()),
        )
        .await
    }

    async fn stop_pod_sandbox(
        &self,
        request: Request<StopPodSandboxRequest>,
    ) -> Answer<StopPodSandboxResponse> {
        answer(
            "StopPodSandbox",
            rpc::stop_pod_sandbox::stop_pod_sandbox(&self.0, request.into_inner()),
        )
        .await
    }

    async fn remove_pod_sandbox(
        &self,
        request: Request<RemovePodSandboxRequest>,
    ) -> Answer<RemovePodSandboxResponse> {
        answer(
            "RemovePodSandbox",
            rpc::remove_pod_sandbox::remove_pod_sandbox(&self.0, request.into_inner()),
        )
        .await
    }

    async fn pod_sandbox_status(
        &self,
        request: Request<PodSandboxStatusRequest>,
    ) -> Answer<PodSandboxStatusResponse> {
        answer("PodSandboxStatus", async {
            rpc::pod_sandbox_status::pod_sandbox_status(&self.0, &request.into_inner())
        })
        .await
    }

    async fn list_pod_sandbox(
        &self,
        request: Request<ListPodSandboxRequest>,
    ) -> Answer<ListPodSandboxResponse> {
        answer("ListPodSandbox", async {
            let filter = request.into_inner().filter;
            let items = rpc::list_pod_sandbox::list_pod_sandbox(&self.0, filter.as_ref());
            Ok(ListPodSandboxResponse { items })
        })
        .await
    }

    type StreamPodSandboxesStream = Pieces<StreamPodSandboxesResponse>;

    async fn stream_pod_sandboxes(
        &self,
        request: Request<StreamPodSandboxesRequest>,
    ) -> Answer<Self::StreamPodSandboxesStream> {
        answer("StreamPodSandboxes", async {
            let filter = request.into_inner().filter;
            let all = rpc::list_pod_sandbox::list_pod_sandbox(&self.0, filter.as_ref());
            Ok(stream::pieces(all, |pod_sandboxes| {
                StreamPodSandboxesResponse { pod_sandboxes }
            }))
        })
        .await
    }

    async fn create_container(
        &self,
        request: Request<CreateContainerRequest>,
    ) -> Answer<CreateContainerResponse> {
        answer(
            "CreateContainer",
            rpc::create_container::create_container(&self.0, request.into_inner()),
        )
        .await
    }

    async fn start_container(
        &self,
        request: Request<StartContainerRequest>,
    ) -> Answer<StartContainerResponse> {
        answer(
            "StartContainer",
            rpc::start_container::start_container(&self.0, request.into_inner()),
        )
        .await
    }

    async fn stop_container(
        &self,
        request: Request<StopContainerRequest>,
    ) -> Answer<StopContainerResponse> {
        answer(
            "StopContainer",
            rpc::stop_container::stop_container(&self.0, request.into_inner()),
        )
        .await
    }

    async fn remove_container(
        &self,
        request: Request<RemoveContainerRequest>,
    ) -> Answer<RemoveContainerResponse> {
        answer(
            "RemoveContainer",
            rpc::remove_container::remove_container(&self.0, request.into_inner()),
        )
        .await
    }

    async fn list_containers(
        &self,
        request: Request<ListContainersRequest>,
    ) -> Answer<ListContainersResponse> {
        answer("ListContainers", async {
            let filter = request.into_inner().filter;
            let containers = rpc::list_containers::list_containers(&self.0, filter.as_ref());
            Ok(ListContainersResponse { containers })
        })
        .await
    }

    type StreamContainersStream = Pieces<StreamContainersResponse>;

    async fn stream_containers(
        &self,
        request: Request<StreamContainersRequest>,
    ) -> Answer<Self::StreamContainersStream> {
        answer("StreamContainers", async {
            let filter = request.into_inner().filter;
            let all = rpc::list_containers::list_containers(&self.0, filter.as_ref());
            Ok(stream::pieces(all, |containers| StreamContainersResponse {
                containers,
            }))
        })
        .await
    }

    async fn container_status(
        &self,
        request: Request<ContainerStatusRequest>,
    ) -> Answer<ContainerStatusResponse> {
        answer("ContainerStatus", async {
            rpc::container_status::container_status(&self.0, &request.into_inner())
        })
        .await
    }

    async fn update_container_resources(
        &self,
        request: Request<UpdateContainerResourcesRequest>,
    ) -> Answer<UpdateContainerResourcesResponse> {
        answer(
            "UpdateContainerResources",
            rpc::update_container_resources::update_container_resources(
                &self.0,
                request.into_inner(),
            ),
        )
        .await
    }

    async fn reopen_container_log(
        &self,
        request: Request<ReopenContainerLogRequest>,
    ) -> Answer<ReopenContainerLogResponse> {
        answer(
            "ReopenContainerLog",
            rpc::reopen_container_log::reopen_container_log(&self.0, request.into_inner()),
        )
        .await
    }

    async fn exec_sync(&self, request: Request<ExecSyncRequest>) -> Answer<ExecSyncResponse> {
        answer(
            "ExecSync",
            rpc::exec_sync::exec_sync(&self.0, request.into_inner()),
        )
        .await
    }

    async fn exec(&self, request: Request<ExecRequest>) -> Answer<ExecResponse> {
        answer("Exec", async {
            rpc::exec::exec(&self.0, &self.1, request.into_inner())
        })
        .await
    }

    async fn attach(&self, request: Request<AttachRequest>) -> Answer<AttachResponse> {
        answer("Attach", async {
            rpc::attach::attach(&self.0, &self.1, &request.into_inner())
        })
        .await
    }

    async fn port_forward(
        &self,
        request: Request<PortForwardRequest>,
    ) -> Answer<PortForwardResponse> {
        answer("PortForward", async {
            rpc::port_forward::port_forward(&self.0, &self.1, &request.into_inner())
        })
        .await
    }

    async fn container_stats(
        &self,
        request: Request<ContainerStatsRequest>,
    ) -> Answer<ContainerStatsResponse> {
        answer(
            "ContainerStats",
            rpc::container_stats::container_stats(&self.0, request.into_inner()),
        )
        .await
    }

    async fn list_container_stats(
        &self,
        request: Request<ListContainerStatsRequest>,
    ) -> Answer<ListContainerStatsResponse> {
        answer("ListContainerStats", async {
            let filter = request.into_inner().filter;
            let stats = rpc::container_stats::list_container_stats(&self.0, filter.as_ref());
            Ok(ListContainerStatsResponse { stats: stats.await })
        })
        .await
    }

    type StreamContainerStatsStream = Pieces<StreamContainerStatsResponse>;

    async fn stream_container_stats(
        &self,
        request: Request<StreamContainerStatsRequest>,
    ) -> Answer<Self::StreamContainerStatsStream> {
        answer("StreamContainerStats", async {
            let filter = request.into_inner().filter;
            let stats = rpc::container_stats::list_container_stats(&self.0, filter.as_ref());
            Ok(stream::pieces(stats.await, |container_stats| {
                StreamContainerStatsResponse { container_stats }
            }))
        })
        .await
    }

    async fn pod_sandbox_stats(
        &self,
        request: Request<PodSandboxStatsRequest>,
    ) -> Answer<PodSandboxStatsResponse> {
        answer(
            "PodSandboxStats",
            rpc::pod_sandbox_stats::pod_sandbox_stats(&self.0, request.into_inner()),
        )
        .await
    }

    async fn list_pod_sandbox_stats(
        &self,
        request: Request<ListPodSandboxStatsRequest>,
    ) -> Answer<ListPodSandboxStatsResponse> {
        answer("ListPodSandboxStats", async {
            let filter = request.into_inner().filter;
            let stats = rpc::pod_sandbox_stats::list_pod_sandbox_stats(&self.0, filter.as_ref());
            Ok(ListPodSandboxStatsResponse { stats: stats.await })
        })
        .await
    }

    type StreamPodSandboxStatsStream = Pieces<StreamPodSandboxStatsResponse>;

    async fn stream_pod_sandbox_stats(
        &self,
        request: Request<StreamPodSandboxStatsRequest>,
    ) -> Answer<Self::StreamPodSandboxStatsStream> {
        answer("StreamPodSandboxStats", async {
            let filter = request.into_inner().filter;
            let stats = rpc::pod_sandbox_stats::list_pod_sandbox_stats(&self.0, filter.as_ref());
            Ok(stream::pieces(stats.await, |pod_sandbox_stats| {
                StreamPodSandboxStatsResponse { pod_sandbox_stats }
            }))
        })
        .await
    }

    async fn update_runtime_config(
        &self,
        request: Request<UpdateRuntimeConfigRequest>,
    ) -> Answer<UpdateRuntimeConfigResponse> {
        answer("UpdateRuntimeConfig", async {
            Ok(rpc::update_runtime_config::update_runtime_config(
                &request.into_inner(),
            ))
        })
        .await
    }

    async fn status(&self, request: Request<StatusRequest>) -> Answer<StatusResponse> {
        answer("Status", rpc::status::status(&self.0, request.into_inner())).await
    }

    async fn checkpoint_container(
        &self,
        _request: Request<CheckpointContainerRequest>,
    ) -> Answer<CheckpointContainerResponse> {
        Err(not_served(not_served::CHECKPOINT))
    }

    type GetContainerEventsStream = Events;

    async fn get_container_events(
        &self,
        _request: Request<GetEventsRequest>,
    ) -> Answer<Self::GetContainerEventsStream> {
        answer("GetContainerEvents", async {
            let events: Events = Box::pin(rpc::get_container_events::get_container_events(&self.0));
            Ok(events)
        })
        .await
    }

    async fn list_metric_descriptors(
        &self,
        _request: Request<ListMetricDescriptorsRequest>,
    ) -> Answer<ListMetricDescriptorsResponse> {
        answer("ListMetricDescriptors", async {
            Ok(rpc::pod_sandbox_metrics::list_metric_descriptors())
        })
        .await
    }

    async fn list_pod_sandbox_metrics(
        &self,
        _request: Request<ListPodSandboxMetricsRequest>,
    ) -> Answer<ListPodSandboxMetricsResponse> {
        answer("ListPodSandboxMetrics", async {
            let pod_metrics = rpc::pod_sandbox_metrics::list_pod_sandbox_metrics(&self.0).await;
            Ok(ListPodSandboxMetricsResponse { pod_metrics })
        })
        .await
    }

    type StreamPodSandboxMetricsStream = Pieces<StreamPodSandboxMetricsResponse>;

    async fn stream_pod_sandbox_metrics(
        &self,
        _request: Request<StreamPodSandboxMetricsRequest>,
    ) -> Answer<Self::StreamPodSandboxMetricsStream> {
        answer("StreamPodSandboxMetrics", async {
            let all = rpc::pod_sandbox_metrics::list_pod_sandbox_metrics(&self.0).await;
            Ok(stream::pieces(all, |pod_sandbox_metrics| {
                StreamPodSandboxMetricsResponse {
                    pod_sandbox_metrics,
                }
            }))
        })
        .await
    }

    async fn runtime_config(
        &self,
        _request: Request<RuntimeConfigRequest>,
    ) -> Answer<RuntimeConfigResponse> {
        answer("RuntimeConfig", async {
            Ok(rpc::runtime_config::runtime_config(&self.0))
        })
        .await
    }

    async fn update_pod_sandbox_resources(
        &self,
        request: Request<UpdatePodSandboxResourcesRequest>,
    ) -> Answer<UpdatePodSandboxResourcesResponse> {
        answer("UpdatePodSandboxResources", async {
            let request = request.into_inner();
            rpc::update_pod_sandbox_resources::update_pod_sandbox_resources(&self.0, &request)
        })
        .await
    }
}
