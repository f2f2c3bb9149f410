//! What must stay as it is: the wire, the secrets that nobody sees, and a call from client to server.

mod calls;
mod secrets;
mod wire;
