//! `effective-user`: prints its effective user, as the image `nonewprivs` of the Kubernetes tests does. Set-uid in an
//! image, it shows whether a container may gain privileges.

use std::io::Write;

fn main() -> std::io::Result<()> {
    let user = rustix::process::geteuid().as_raw();
    writeln!(std::io::stdout(), "Effective uid: {user}")
}
