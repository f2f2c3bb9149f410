//! Landlock: no access to any file system by path, no TCP, no abstract sockets and signals to processes outside. Main function:
//! [`deny_all`]. It stands behind the empty root and the filters, should one of them have a hole.

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, Scope,
};

use super::{JailError, refused};

/// Denies everything that the host's kernel knows to deny. A kernel without Landlock denies nothing here: Debian's and most others
/// have it, and the empty root has no files anyway.
pub(super) fn deny_all() -> Result<(), JailError> {
    let newest = ABI::V6;
    let restrict = || {
        Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(newest))?
            .handle_access(AccessNet::from_all(newest))?
            .scope(Scope::from_all(newest))?
            .create()?
            .restrict_self()
    };
    let remedy = "the kernel's Landlock does not behave as documented";
    restrict()
        .map(drop)
        .map_err(|error: landlock::RulesetError| {
            refused("deny the file system with Landlock", remedy)(std::io::Error::other(error))
        })
}
