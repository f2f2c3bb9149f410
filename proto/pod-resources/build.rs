//! Generates messages, client and server from `v1/podresources.proto` with a parser in Rust: no protoc.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=v1");
    let files = protox::compile(["podresources.proto"], ["v1"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // What the code is made of, for the test that compares it with the table.
    fs::write(out.join("descriptors.bin"), files.encode_to_vec())?;
    tonic_prost_build::configure()
        // Whoever calls or serves brings the transport.
        .build_transport(false)
        .compile_fds(files)?;
    Ok(())
}
