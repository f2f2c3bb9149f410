//! `build-guest-image --agent PATH --out PATH`: writes the guest image, by way of a temporary file beside it.

const HELP: &str = "\
usage: build-guest-image --agent PATH --out PATH

Writes the root of the guest: an uncompressed cpio archive with the static program at
--agent as /init, /dev/console, and empty folders to mount on. The same agent gives the
same bytes. --out appears whole or not at all.
";

fn main() -> anyhow::Result<()> {
    guest_image::tool::convert(HELP, "--agent", |agent, out| {
        guest_image::write_guest_image(agent, out)?;
        Ok(())
    })
}
