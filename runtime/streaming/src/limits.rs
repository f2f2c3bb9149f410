//! Every size and count of this crate, in one place. What an operator may choose is in `Settings`.

/// Bytes of a token: nobody guesses 256 bits.
pub(crate) const TOKEN_BYTES: usize = 32;

/// Largest head of a request, in bytes. Those of kubelet and crictl have a few hundred.
pub(crate) const REQUEST_HEAD_BYTES: usize = 16 << 10;

/// Bytes asked of a socket, or of a process, at once.
pub(crate) const READ_BYTES: usize = 64 << 10;

/// Most bytes that a peer's frame makes one piece of; a longer frame comes in several.
pub(crate) const PIECE_BYTES: usize = 32 << 10;

/// A piece shorter than this is copied, so that it does not keep all of what was read with it.
pub(crate) const COPY_BYTES: usize = 4 << 10;

/// Pieces that wait for whoever reads a stream; then the connection is not read.
pub(crate) const PIECES_AHEAD: usize = 4;

/// Frames of data that wait for the socket, of all streams of a connection together.
pub(crate) const FRAMES_AHEAD: usize = 4;

/// Answers (replies, resets, pings) that wait for the socket; then the connection is not read.
pub(crate) const ANSWERS_AHEAD: usize = 64;

/// Opened streams that wait for the session to look at them.
pub(crate) const OPENED_AHEAD: usize = 16;

/// Most streams of a connection at a time: 512 forwarded connections.
pub(crate) const STREAMS: usize = 1024;

/// Longest control frame of SPDY, in bytes. The headers of a stream take some fifty, compressed.
pub(crate) const CONTROL_FRAME_BYTES: usize = 16 << 10;

/// Most bytes of a stream's headers, inflated.
pub(crate) const HEADER_BYTES: usize = 16 << 10;

/// Most headers of a stream.
pub(crate) const HEADERS: usize = 64;

/// Most bytes of window sizes that do not end: one size takes thirty.
pub(crate) const SIZE_BYTES: usize = 4 << 10;

/// Longest message of a WebSocket client, in bytes. Kubernetes' clients send 32 KiB at a time, in base64 a third more.
pub(crate) const MESSAGE_BYTES: usize = 256 << 10;

/// Most bytes that wait for a WebSocket client's socket: one piece in base64, and answers to pings.
pub(crate) const WRITE_BUFFER_BYTES: usize = 512 << 10;

/// Most ports of one WebSocket connection; each takes two channels, which have names in base64 up to 64.
pub(crate) const PORTS: usize = 32;
