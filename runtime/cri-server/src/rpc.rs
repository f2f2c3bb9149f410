//! The calls, one in each file: decode, ask `node` or `pod`, encode. What is decided on the way is decided in `translate`.

pub(crate) mod container_status;
pub(crate) mod create_container;
pub(crate) mod exec_sync;
pub(crate) mod get_container_events;
pub(crate) mod image_fs_info;
pub(crate) mod image_status;
pub(crate) mod list_containers;
pub(crate) mod list_images;
pub(crate) mod list_pod_sandbox;
pub(crate) mod not_served;
pub(crate) mod pod_sandbox_status;
pub(crate) mod pull_image;
pub(crate) mod remove_container;
pub(crate) mod remove_image;
pub(crate) mod remove_pod_sandbox;
pub(crate) mod reopen_container_log;
pub(crate) mod run_pod_sandbox;
pub(crate) mod runtime_config;
pub(crate) mod start_container;
pub(crate) mod status;
pub(crate) mod stop_container;
pub(crate) mod stop_pod_sandbox;
pub(crate) mod stream;
pub(crate) mod update_runtime_config;
pub(crate) mod version;
