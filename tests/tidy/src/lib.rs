//! The rules of the repository as tests: what STYLE.md asks for and no compiler checks.
//!
//! Each rule is one file with a pure `check(…)` that returns [`Finding`]s, and its tests show it failing on
//! a bad example. `tests/tree.rs` runs every rule on the checkout. Below: git and cargo, in [`tree`] and
//! [`workspace`]. Exceptions are tables beside their rule, each line with a reason, and a line that is
//! no longer needed is itself a finding, so the tables can only shrink.

mod finding;
pub mod rust_text;
pub mod tree;
pub mod workspace;

pub mod card;
pub mod changelog;
pub mod closure;
pub mod deadlines;
pub mod doors;
pub mod edges;
pub mod examples;
pub mod kernel_options;
pub mod leftovers;
pub mod length;
pub mod licences;
pub mod machine_paths;
pub mod manifests;
pub mod names;
pub mod rooms;
pub mod seccomp;
pub mod versions;
pub mod whitespace;

pub use finding::{Finding, report};
