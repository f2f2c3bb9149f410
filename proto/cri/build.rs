//! Generates messages, client and server from `v1/*.proto` with a parser in Rust: no protoc.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

/// Messages with secrets in them: `src/secrets.rs` writes their `Debug`.
const NOT_SHOWN: [&str; 2] = [".runtime.v1.AuthConfig", ".runtime.v1.KeyValue"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=v1");
    // The two files with the services import the others.
    let files = protox::compile(["runtime.proto", "image.proto"], ["v1"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // What the code is made of, for the test that compares it with the table.
    fs::write(out.join("descriptors.bin"), files.encode_to_vec())?;
    tonic_prost_build::configure()
        // Whoever calls or serves brings the transport.
        .build_transport(false)
        // Maps in order: the same message is the same bytes and the same text.
        .btree_map(".")
        .skip_debug(NOT_SHOWN)
        .compile_fds(files)?;
    Ok(())
}
