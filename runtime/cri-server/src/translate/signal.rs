//! Signals by three kinds of name: CRI's numbers, an image's text, Linux's numbers. Main function: [`stop_signal`].

use cri::v1::Signal;

use super::refusal::Refusal;

/// What asks a container to end when nobody says otherwise.
const SIGTERM: u32 = 15;

/// Highest signal of Linux (signal(7)); the real-time ones are 34 to 64 to a C library.
const MOST: u32 = 64;
const REAL_TIME_MIN: u32 = 34;
const REAL_TIME_MAX: u32 = 64;

/// Names of signal(7) on x86 and ARM, without SIG.
const NAMES: [(&str, u32); 35] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
    ("UNUSED", 31),
];

/// The signal that asks a container to end, as Linux numbers it: the container's own, the image's, SIGTERM.
pub(super) fn stop_signal(asked: i32, of_image: Option<&str>) -> Result<u32, Refusal> {
    let asked = Signal::try_from(asked)
        .map_err(|_unknown| Refusal::invalid(format!("stop_signal {asked} is no signal of CRI")))?;
    if asked != Signal::RuntimeDefault {
        let name = asked.as_str_name();
        return number(name)
            .ok_or_else(|| Refusal::invalid(format!("{name} is no signal of Linux")));
    }
    match of_image.filter(|text| !text.is_empty()) {
        None => Ok(SIGTERM),
        Some(text) => number(text).ok_or_else(|| {
            Refusal::invalid(format!("the image's StopSignal {text:?} is no signal"))
        }),
    }
}

/// CRI's number of a signal of Linux.
pub(super) fn to_cri(signal: u32) -> Signal {
    let all = (0..=i32::from(Signal::Sigrtmax)).filter_map(|value| Signal::try_from(value).ok());
    let mut same = all.filter(|known| number(known.as_str_name()) == Some(signal));
    same.next().unwrap_or(Signal::RuntimeDefault)
}

/// By name with or without SIG, in any case, or by number.
fn number(text: &str) -> Option<u32> {
    if let Ok(number) = text.parse::<u32>() {
        return (1..=MOST).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let known = NAMES.iter().find(|(known, _)| *known == name);
    known.map(|(_, number)| *number).or_else(|| real_time(name))
}

/// RTMIN, RTMAX-3, and as CRI's enumeration spells them: RTMINPLUS3, RTMAXMINUS3.
fn real_time(name: &str) -> Option<u32> {
    let (from_below, offset) = match name.strip_prefix("RTMIN") {
        Some(rest) => (true, rest),
        None => (false, name.strip_prefix("RTMAX")?),
    };
    if offset.is_empty() {
        return Some(if from_below {
            REAL_TIME_MIN
        } else {
            REAL_TIME_MAX
        });
    }
    let (sign, word) = if from_below {
        ("+", "PLUS")
    } else {
        ("-", "MINUS")
    };
    let digits = offset
        .strip_prefix(sign)
        .or_else(|| offset.strip_prefix(word))?;
    let offset: u32 = digits.parse().ok().filter(|_| !digits.starts_with('+'))?;
    let number = if from_below {
        REAL_TIME_MIN.checked_add(offset)?
    } else {
        REAL_TIME_MAX.checked_sub(offset)?
    };
    (REAL_TIME_MIN..=REAL_TIME_MAX)
        .contains(&number)
        .then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_found_by_every_name() {
        let check = |text: &str, expect: Option<u32>| assert_eq!(number(text), expect, "{text}");
        check("SIGTERM", Some(15));
        check("term", Some(15));
        check("9", Some(9));
        check("SIGRTMIN", Some(34));
        check("SIGRTMIN+3", Some(37));
        check("SIGRTMINPLUS15", Some(49));
        check("RTMAX-14", Some(50));
        check("SIGRTMAXMINUS1", Some(63));
        check("SIGRTMAX", Some(64));
        check("SIGRTMIN+31", None);
        check("RTMIN++1", None);
        check("0", None);
        check("65", None);
        check("SIGNOPE", None);
        check("", None);
    }

    #[test]
    fn every_signal_of_cri_is_one_of_linux_and_comes_back() {
        for value in 1..=i32::from(Signal::Sigrtmax) {
            let signal = Signal::try_from(value).unwrap();
            let linux = number(signal.as_str_name()).unwrap();
            // Aliases come back as the first of their number.
            assert_eq!(number(to_cri(linux).as_str_name()), Some(linux));
        }
        assert_eq!(to_cri(15), Signal::Sigterm);
        assert_eq!(to_cri(0), Signal::RuntimeDefault);
    }

    #[test]
    fn container_goes_before_image_goes_before_default() {
        let kill = i32::from(Signal::Sigkill);
        assert_eq!(stop_signal(kill, Some("SIGINT")), Ok(9));
        assert_eq!(stop_signal(0, Some("SIGINT")), Ok(2));
        assert_eq!(stop_signal(0, Some("")), Ok(15));
        assert_eq!(stop_signal(0, None), Ok(15));
        stop_signal(0, Some("SIGNOPE")).unwrap_err();
        stop_signal(999, None).unwrap_err();
    }
}
