//! Debian's nginx as a layer, and its configuration on another port. Main functions: [`layer`], [`on_port`].

use anyhow::Result;
use harness::image::{Compression, Layer};

use crate::debian::Packages;
use crate::userland;

pub(crate) const PACKAGES: [&str; 5] = ["nginx", "libcrypt1", "libpcre2-8-0", "libssl3", "zlib1g"];

const LIBRARIES: [(&str, &str); 5] = [
    ("libcrypt1", "libcrypt.so.1"),
    ("libpcre2-8-0", "libpcre2-8.so.0"),
    ("libssl3", "libssl.so.3"),
    ("libssl3", "libcrypto.so.3"),
    ("zlib1g", "libz.so.1"),
];

const CONFIGURATION: &str = "etc/nginx/nginx.conf";
const PAGE: &str = "<!doctype html><title>nginx</title>a page of nginx\n";

/// What it is started with: it stays in the foreground.
pub(crate) const COMMAND: [&str; 3] = ["nginx", "-g", "daemon off;"];

pub(crate) fn layer(packages: &Packages) -> Result<Layer> {
    let mut layer = Layer::new(Compression::Gzip);
    for folder in [
        "etc/nginx",
        "var/lib/nginx",
        "var/log/nginx",
        "var/www/html",
    ] {
        layer = layer.directory(folder, 0o755);
    }
    for (package, library) in LIBRARIES {
        layer = userland::library_of(packages, layer, package, library)?;
    }
    Ok(layer
        .file(
            "usr/sbin/nginx",
            0o755,
            packages.read("nginx", "sbin/nginx")?,
        )
        .file("var/www/html/index.html", 0o644, PAGE)
        .file(CONFIGURATION, 0o644, configuration(80)))
}

/// Its configuration with another port, to be laid over [`layer`].
pub(crate) fn on_port(port: u16) -> Layer {
    Layer::new(Compression::Gzip).file(CONFIGURATION, 0o644, configuration(port))
}

/// The tests read its process id where this says, and look at it while it runs as one worker.
fn configuration(port: u16) -> String {
    let scratch: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("    {kind}_temp_path /var/lib/nginx/{kind};\n"))
        .concat();
    format!(
        "user www-data;\nworker_processes 1;\npid /var/run/nginx.pid;\nerror_log stderr;\n\
         events {{}}\nhttp {{\n    access_log /dev/stdout;\n{scratch}    \
         server {{ listen {port}; root /var/www/html; default_type text/html; }}\n}}\n"
    )
}
