//! Generates the Rust side of `proto/`: messages and clients always, servers only for the test doubles. Builds the program of the built-in
//! sandbox image for the target.

use std::{
    env,
    error::Error,
    path::{Path, PathBuf},
    process::Command,
};

const PROTO: &str = "proto/cri/v1/cri.proto";
const PAUSE: &str = "src/containerd/pause/pause.c";
/// A program of a few hundred bytes that needs nothing of the system but its kernel.
const PAUSE_FLAGS: &[&str] = &[
    "-std=gnu99",
    "-Os",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-static",
    "-nostdlib",
    "-ffreestanding",
    "-fno-builtin",
    "-fno-pie",
    "-no-pie",
    "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables",
    "-Wl,--build-id=none",
    "-Wl,-z,noexecstack",
    "-s",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={PROTO}");
    println!("cargo::rerun-if-env-changed=PROTOC");
    let out = PathBuf::from(env::var("OUT_DIR")?);

    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names(); // `cri::json` finds a message's description by its name
    config.btree_map(["."]); // the same value always prints the same
    config.skip_debug([".runtime.v1.AuthConfig"]); // credentials never reach a log: see `cri::proto`
    tonic_prost_build::configure()
        .build_client(true)
        .build_server(env::var_os("CARGO_FEATURE_TESTING").is_some())
        .build_transport(false)
        .compile_with_config(config, &[PROTO], &["proto"])?;
    if env::var_os("CARGO_FEATURE_TESTING").is_some() {
        serve_events();
    }
    build_pause(&out.join("pause"))?;
    describe(&out.join("cri.descriptor.bin"))
}

/// Builds the sandbox's program; an empty file for processors that it isn't written for.
fn build_pause(target: &Path) -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={PAUSE}");
    println!("cargo::rustc-env=PAUSE_FLAGS={}", PAUSE_FLAGS.join(" "));
    if !matches!(env::var("CARGO_CFG_TARGET_ARCH")?.as_str(), "x86_64" | "aarch64") {
        std::fs::write(target, [])?;
        return Ok(());
    }
    // Of cc only its search for the target's compiler: its flags are for libraries.
    let compiler = cc::Build::new().cargo_warnings(false).try_get_compiler()?;
    let mut command = Command::new(compiler.path());
    command.args(PAUSE_FLAGS).arg("-o").arg(target).arg(PAUSE);
    let status = command.status().map_err(|e| format!("cannot run {}: {e}", compiler.path().display()))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{} failed on {PAUSE}: {status}", compiler.path().display()).into())
    }
}

/// Generates the server of containerd's event service, for the fake runtime: containerd-client has only clients.
fn serve_events() {
    use tonic_prost_build::manual::{Builder, Method, Service};
    let subscribe = Method::builder()
        .name("subscribe")
        .route_name("Subscribe")
        .input_type("containerd_client::services::v1::SubscribeRequest")
        .output_type("containerd_client::types::Envelope")
        .codec_path("tonic_prost::ProstCodec")
        .server_streaming()
        .build();
    let events =
        Service::builder().name("Events").package("containerd.services.events.v1").method(subscribe).build();
    Builder::new().build_client(false).build_transport(false).compile(&[events]);
}

/// Writes the descriptor set of `cri.proto` without its comments, which would make up most of it.
fn describe(target: &Path) -> Result<(), Box<dyn Error>> {
    let protoc = env::var_os("PROTOC").unwrap_or_else(|| "protoc".into());
    let status = Command::new(&protoc)
        .arg("--proto_path=proto")
        .arg(format!("--descriptor_set_out={}", target.display()))
        .arg(PROTO)
        .status()
        .map_err(|e| format!("cannot run {}: {e}; install protoc or set PROTOC", protoc.display()))?;
    if status.success() { Ok(()) } else { Err(format!("protoc failed on {PROTO}: {status}").into()) }
}
