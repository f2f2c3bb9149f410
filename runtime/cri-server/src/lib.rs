//! The kubelet's door: serves the Container Runtime Interface over a unix socket. Main function: [`serve`]. Above: the program, which
//! makes [`Settings`]. Below: `pod` runs the pods, `images` keeps the images, `registry` fetches them, `cri` has the
//! messages.
//!
//! ```text
//! serve ──► runtime_service, image_service ──► rpc/ (one file a call) ──► node ──► pods, images
//!   │                                           └─► translate/ (values in, values out)
//!   └──► streaming (clients with a URL that exec, attach or port_forward gave them) ──► streams/ ──► node
//! ```
//!
//! CRI says *sandbox*; this crate is the last place that does. What CRI asked for is kept with the pod, in its note, so that a restart
//! of the daemon answers as before.

mod apparmor;
mod client_deadline;
mod deadlines;
mod events;
mod exec_output;
mod executed;
mod exporter;
mod failure;
mod host_devices;
mod host_mounts;
mod huge_pages;
mod ids;
mod image_service;
mod limits;
mod network;
mod node;
mod note;
mod notify;
mod pod_files;
mod pods;
mod reclaim;
mod rpc;
mod runtime_service;
mod seccomp_profile;
mod selinux;
mod serve;
mod settings;
mod socket;
mod streams;
mod translate;
mod usage;
mod vfio;
mod wall_clock;
mod work;

pub use exporter::{Listen, ListenError};
pub use serve::{ServeError, serve};
pub use settings::{
    CgroupSettings, ContainerDefaults, Guest, Handler, HandlerKind, HostPods, NetworkSettings,
    Settings, StreamingSettings, VfioDevices, VfioSettings, VmDefaults, VmParts,
};
pub use socket::SocketError;
