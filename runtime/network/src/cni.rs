//! A client of the CNI specification 1.1. Main type: `Cni`, which runs the plugins of a list. In the order of a call: the
//! configuration folder is read (`conf_dir`) into lists (`ConfList`), a list and an attachment make each plugin's input
//! (`input`), the plugin runs (`run_plugin`), its answer is looked at (`result`).

pub(crate) mod conf_dir;
mod conf_list;
mod input;
mod plugin_list;
pub(crate) mod result;
mod run_plugin;
mod version;

pub use conf_dir::{ConfDirError, Skipped};
pub(crate) use conf_list::ConfList;
pub use conf_list::ConfListError;
pub use plugin_list::CniError;
pub(crate) use plugin_list::{Attached, Cni};
pub use result::ResultError;
pub use run_plugin::PluginError;
pub use version::{BadVersion, CniVersion};
