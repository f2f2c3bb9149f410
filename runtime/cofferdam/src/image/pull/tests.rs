//! What a person sees while an image comes.

use super::*;
use registry::LayerProgress;

#[test]
fn progress_counts_layers_and_the_bytes_to_fetch() {
    let name: Reference = "busybox".parse().unwrap();
    let layer = |state, read_bytes| LayerProgress {
        digest: format!("sha256:{}", "0".repeat(64)).parse().unwrap(),
        total_bytes: 4096,
        read_bytes,
        state,
    };
    let check = |stage, layers: &[LayerProgress], expect: &str| {
        let layers = layers.to_vec();
        let text = describe(&name, &Progress { stage, layers });
        assert_eq!(text, format!("docker.io/library/busybox:latest: {expect}"));
    };
    check(Stage::Resolving, &[], "asking the registry");
    let layers = [
        layer(LayerState::Present, 4096),
        layer(LayerState::Stored, 4096),
        layer(LayerState::Arriving, 1024),
        layer(LayerState::Waiting, 0),
    ];
    check(Stage::Layers, &layers, "2 of 4 layers, 5.0 KiB of 12.0 KiB");
    check(Stage::Committing, &layers, "merging the layers");
}
