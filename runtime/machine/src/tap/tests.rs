//! Taps of this machine's kernel, each in a network namespace of its own that ends with its thread; where they can't be made each test
//! says so and passes.

use std::{fs::File, os::fd::AsFd};

use libc::{IFF_NO_PI, TUNSETIFF, TUNSETVNETHDRSZ};

use super::*;

const OURS: c_int = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;

fn make(flags: c_int, header: c_int) -> io::Result<OwnedFd> {
    named("tap0", flags, header)
}

/// Makes a queue of a tap in the thread's namespace.
fn named(name: &str, flags: c_int, header: c_int) -> io::Result<OwnedFd> {
    let file = File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun")?;
    let mut request = no_request();
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::try_from(from).unwrap();
    }
    request.ifr_ifru.ifru_flags = c_short::try_from(flags).unwrap();
    // SAFETY: `request` is a whole ifreq that lives through the call.
    done(unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF, &raw const request) })?;
    // SAFETY: the kernel reads one int, which lives through the call.
    done(unsafe { libc::ioctl(file.as_raw_fd(), TUNSETVNETHDRSZ, &raw const header) })?;
    Ok(file.into())
}

/// Runs a test on a thread in a network namespace of its own, or says that there can be none.
fn in_namespace(test: &str, run: impl FnOnce() + Send) {
    let enter = || {
        // SAFETY: unshare(2) touches no memory.
        done(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
        named("probe0", OURS, 12)
    };
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| match enter() {
            Ok(tap) => {
                drop(tap);
                run();
            }
            Err(error) => println!("skip {test}: make a tap in a network namespace: {error}"),
        });
        thread.join().unwrap();
    });
}

#[test]
fn tap_made_for_us_is_taken_and_does_not_block() {
    in_namespace("tap_made_for_us_is_taken_and_does_not_block", || {
        let tap = Tap::new(make(OURS, 12).unwrap()).unwrap();
        assert_eq!(tap.name(), "tap0");
        assert!(!tap.is_multi_queue());
        assert!(!tap.discard(), "nobody sent a frame");
        tap.set_offloads(libc::TUN_F_CSUM | libc::TUN_F_TSO4)
            .unwrap();
        assert!(tap.set_offloads(1 << 30).is_err());
        // Of one queue there is nothing to attach.
        tap.attach(false).unwrap();
        assert!(rustix::io::read(tap.as_fd(), &mut [0; 64]).is_err());
    });
}

/// In a namespace for each: another test's child may hold a tap a moment longer than we do.
fn check_refused(flags: c_int, header: c_int, expect: &str) {
    in_namespace("tap_made_in_another_way_is_refused", || {
        let error = Tap::new(make(flags, header).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), expect);
    });
}

#[test]
fn tap_made_in_another_way_is_refused() {
    let without = |flag| format!("use the tap tap0: it was made without {flag}");
    let tun = libc::IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
    check_refused(tun, 12, &without("IFF_TAP"));
    check_refused(OURS & !IFF_VNET_HDR, 12, &without("IFF_VNET_HDR"));
    let header = "use the tap tap0: its header has 10 bytes; set it to 12 with TUNSETVNETHDRSZ";
    check_refused(OURS, 10, header);
}

#[test]
fn queue_is_attached_and_detached_as_often_as_asked() {
    in_namespace("queue_is_attached_and_detached_as_often_as_asked", || {
        let make = || Tap::new(make(OURS | IFF_MULTI_QUEUE, 12).unwrap()).unwrap();
        let (_first, second) = (make(), make());
        assert!(second.is_multi_queue());
        for attached in [false, false, true, true, false] {
            second.attach(attached).unwrap();
        }
    });
}

#[test]
fn descriptor_of_something_else_is_refused() {
    let null = File::open("/dev/null").unwrap();
    let error = Tap::new(null.into()).unwrap_err();
    assert!(matches!(error, TapError::NotATap { .. }), "{error}");
}
