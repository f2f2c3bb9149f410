//! The pod's network in the guest: makes it as the host says, whatever it was. `wanted` checks what the host says, `read` reads what
//! the kernel has, both into the words of `state`; `plan` compares, `write` takes its steps. Main function: [`set`]. Above: `rpc`.

mod netlink;
mod plan;
mod read;
mod state;
mod wanted;
mod write;

use std::{io, time::Duration};

use tokio::time::timeout;

use self::{
    netlink::Netlink,
    plan::{missing, plan},
    state::Present,
};
pub(crate) use self::{state::Wanted, wanted::parse};
use crate::{
    devices::Changes,
    fault::{Fault, FaultKind},
};

/// More than the stages of a plan, each twice: a network that is not as wanted by then is being changed by someone else, or holds
/// what the kernel reads differently than it was said.
const MAX_ROUNDS: usize = 8;

/// Waits for the devices, then changes what is not as wanted.
pub(crate) async fn set(wanted: &Wanted, deadline: Duration) -> Result<(), Fault> {
    let mut netlink =
        Netlink::open().map_err(|error| Fault::internal_io("open a netlink socket", &error))?;
    wait_for_devices(wanted, &mut netlink, deadline).await?;
    let mut left = String::new();
    for _round in 0..MAX_ROUNDS {
        let steps = round(wanted, &mut netlink).await?;
        let Some(first) = steps.first() else {
            return Ok(());
        };
        left = first.to_string();
    }
    Err(Fault::new(
        FaultKind::Internal,
        format!("the network does not come to rest; the last attempt was to {left}"),
    ))
}

/// Reads, plans, and takes the steps, which are returned.
async fn round(wanted: &Wanted, netlink: &mut Netlink) -> Result<Vec<plan::Step>, Fault> {
    let present = present(netlink).await?;
    let steps = plan(&present, wanted);
    for step in &steps {
        match write::carry_out(step, &present, netlink).await {
            Err(error) if !is_done(step, &error) => {
                return Err(Fault::internal_io(&step.to_string(), &error));
            }
            _ => {}
        }
    }
    Ok(steps)
}

/// The kernel did it meanwhile, with another step; the next round looks.
fn is_done(step: &plan::Step, error: &io::Error) -> bool {
    let gone = [libc::ESRCH, libc::ENOENT, libc::EADDRNOTAVAIL, libc::ENODEV];
    let answer = error.raw_os_error();
    step.removes() && answer.is_some_and(|answer| gone.contains(&answer))
}

async fn wait_for_devices(
    wanted: &Wanted,
    netlink: &mut Netlink,
    deadline: Duration,
) -> Result<(), Fault> {
    if missing(&present(netlink).await?, wanted).is_none() {
        return Ok(());
    }
    let wait = async {
        let changes = Changes::after_rescan().await?;
        while missing(&present(netlink).await?, wanted).is_some() {
            changes.next().await?;
        }
        Ok(())
    };
    match timeout(deadline, wait).await {
        Ok(waited) => waited,
        Err(_elapsed) => {
            let present = present(netlink).await?;
            let Some(interface) = missing(&present, wanted) else {
                return Ok(());
            };
            let [a, b, c, d, e, f] = interface.mac;
            let name = &interface.name;
            let message = format!(
                "no device with the MAC {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}, which is to be {name}, appeared within {deadline:?}"
            );
            Err(Fault::new(FaultKind::DeadlineExceeded, message))
        }
    }
}

async fn present(netlink: &mut Netlink) -> Result<Present, Fault> {
    let present = read::present(netlink).await;
    present.map_err(|error| Fault::internal_io("read the network", &error))
}

#[cfg(test)]
mod tests;
