//! What a streaming call asks for, checked. Main functions: [`asked`], [`ports`].

use streaming::Asked;

use super::refusal::Refusal;

/// The streams of an exec or an attach.
pub(crate) fn asked(asked: Asked) -> Result<Asked, Refusal> {
    let Asked {
        stdin,
        stdout,
        stderr,
        tty,
    } = asked;
    if tty && stderr {
        return Err(Refusal::invalid(
            "tty and stderr can't both be: a terminal has one output",
        ));
    }
    if !(stdin || stdout || stderr) {
        return Err(Refusal::invalid(
            "none of stdin, stdout and stderr is asked for",
        ));
    }
    Ok(asked)
}

/// The ports to forward; mostly none, because the client names them later.
pub(crate) fn ports(asked: &[i32]) -> Result<Vec<u16>, Refusal> {
    let port = |asked: &i32| match u16::try_from(*asked) {
        Ok(port @ 1..) => Ok(port),
        _ => Err(Refusal::invalid(format!(
            "port {asked} is none: 1 to 65535"
        ))),
    };
    asked.iter().map(port).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_that_no_process_has_are_refused() {
        let check = |[stdin, stdout, stderr, tty]: [bool; 4], words: Option<&str>| {
            let result = asked(Asked {
                stdin,
                stdout,
                stderr,
                tty,
            });
            match (result, words) {
                (Ok(_), None) => {}
                (Err(refusal), Some(words)) => {
                    assert!(matches!(refusal, Refusal::Invalid(_)), "{refusal:?}");
                    assert!(refusal.to_string().contains(words), "{refusal}");
                }
                (result, words) => panic!("{result:?}, expected {words:?}"),
            }
        };
        check([true, true, true, false], None);
        check([false, true, false, false], None);
        check([true, false, false, false], None);
        check([true, true, false, true], None);
        check([false, false, true, false], None);
        check([true, true, true, true], Some("tty and stderr"));
        check([false, false, false, false], Some("none of stdin"));
        check([false, false, false, true], Some("none of stdin"));
    }

    #[test]
    fn ports_are_numbers_of_ports() {
        assert_eq!(ports(&[]), Ok(vec![]));
        assert_eq!(ports(&[1, 80, 65535]), Ok(vec![1, 80, 65535]));
        for wrong in [0, -1, 65536] {
            let refusal = ports(&[80, wrong]).unwrap_err();
            assert!(
                refusal.to_string().contains(&format!("port {wrong} ")),
                "{refusal}"
            );
        }
    }
}
