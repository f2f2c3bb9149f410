//! Every size and count that this crate accepts from a registry, in one place. Those of documents and layers are in
//! `images::limits`, for they hold for archives too.

/// Most layers on their way at once, over all pulls; each has a connection and a thread that converts.
pub(crate) const LAYERS_AT_ONCE: usize = 4;
/// Pieces of one layer that wait for the converter, each as large as what one read of a socket gives.
pub(crate) const PIECES_AHEAD: usize = 16;
/// Most redirects of one request. Registries send to a content network, which may send on once.
pub(crate) const REDIRECTS: usize = 5;
/// Most tries to go on with a layer, however far each gets.
pub(crate) const LAYER_TRIES: usize = 100;
/// Most tries in a row at one host that brought no byte.
pub(crate) const FRUITLESS_TRIES: usize = 3;
/// Most bytes of a token server's answer. Tokens in use have a few thousand.
pub(crate) const TOKEN_BYTES: usize = 256 << 10;
/// Most bytes read of an answer that refuses; it holds a sentence for people.
pub(crate) const REFUSAL_BYTES: usize = 16 << 10;
/// Most characters of that sentence that go into a message.
pub(crate) const REFUSAL_CHARS: usize = 200;
/// Longest `WWW-Authenticate` header that is looked at.
pub(crate) const CHALLENGE_BYTES: usize = 8 << 10;
/// Largest file of certificate authorities.
pub(crate) const CA_FILE_BYTES: u64 = 4 << 20;
