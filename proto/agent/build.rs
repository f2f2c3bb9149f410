//! Generates the ttrpc client, server and messages from `agent.proto` with pure Rust parsers: no protoc.

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=agent.proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    ttrpc_codegen::Codegen::new()
        .out_dir(&out)
        .input("agent.proto")
        .include(".")
        .rust_protobuf()
        .customize(ttrpc_codegen::Customize {
            async_all: true,
            ..Default::default()
        })
        .run()?;
    // rust-protobuf emits inner attributes and inner docs, which `include!` refuses.
    for file in ["agent.rs", "agent_ttrpc.rs"] {
        let path = out.join(file);
        let kept: String = fs::read_to_string(&path)?
            .lines()
            .filter(|line| !line.starts_with("#![") && !line.starts_with("//!"))
            .map(|line| format!("{line}\n"))
            .collect();
        fs::write(&path, kept)?;
    }
    Ok(())
}
