//! Tests of the socket with real files.

use super::*;

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("run/cri.sock")
    }
}

#[tokio::test]
async fn socket_is_for_owner_and_group_and_goes_with_its_daemon() {
    let bench = Bench::new();
    let (socket, _listener) = Socket::bind(&bench.path()).unwrap();
    let mode = fs::metadata(bench.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, MODE);
    drop(socket);
    assert!(!bench.path().exists());
}

#[tokio::test]
async fn socket_of_a_live_daemon_is_refused() {
    let bench = Bench::new();
    let _first = Socket::bind(&bench.path()).unwrap();
    let error = Socket::bind(&bench.path()).unwrap_err();
    assert!(matches!(error, SocketError::Live { .. }), "{error}");
}

#[tokio::test]
async fn socket_of_another_program_is_refused() {
    let bench = Bench::new();
    fs::create_dir_all(bench.path().parent().unwrap()).unwrap();
    let _other = std::os::unix::net::UnixListener::bind(bench.path()).unwrap();
    let error = Socket::bind(&bench.path()).unwrap_err();
    assert!(matches!(error, SocketError::Live { .. }), "{error}");
    assert!(bench.path().exists());
}

#[tokio::test]
async fn socket_that_a_killed_daemon_left_is_taken_over() {
    let bench = Bench::new();
    fs::create_dir_all(bench.path().parent().unwrap()).unwrap();
    // The file of a listener stays when it is closed, as after SIGKILL.
    drop(std::os::unix::net::UnixListener::bind(bench.path()).unwrap());
    let (_socket, _listener) = Socket::bind(&bench.path()).unwrap();
    std::os::unix::net::UnixStream::connect(bench.path()).unwrap();
}

#[tokio::test]
async fn file_that_is_no_socket_is_left_alone() {
    let bench = Bench::new();
    fs::create_dir_all(bench.path().parent().unwrap()).unwrap();
    fs::write(bench.path(), "precious").unwrap();
    let error = Socket::bind(&bench.path()).unwrap_err();
    assert!(matches!(error, SocketError::NoSocket { .. }), "{error}");
    assert_eq!(fs::read(bench.path()).unwrap(), b"precious");
}
