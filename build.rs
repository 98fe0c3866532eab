//! Compiles `helper/`, which runs in containers, for each architecture: to `helper-x86_64` and `helper-aarch64` in
//! `OUT_DIR`.
//!
//! It needs only rustc, with the target installed, and the linker that rustup includes. If one of these is missing, the
//! file is empty and dexec works without the helper; with `DEXEC_REQUIRE_HELPER=1` the build fails instead.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::{env, fs};

const PROCESSORS: [&str; 2] = ["x86_64", "aarch64"];

/// The helper uses only Rust's core library, so any of these targets works.
const SYSTEMS: [&str; 3] = ["unknown-linux-gnu", "unknown-linux-musl", "unknown-none"];

const OPTIONS: [&str; 10] = [
    "linker=rust-lld",
    "linker-flavor=ld.lld",
    "default-linker-libraries=no",
    "link-arg=--build-id=none",
    "relocation-model=static",
    "panic=abort",
    "opt-level=z",
    "lto=fat",
    "codegen-units=1",
    "strip=symbols",
];

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=helper");
    println!("cargo::rerun-if-env-changed=DEXEC_REQUIRE_HELPER");
    let is_required = env::var_os("DEXEC_REQUIRE_HELPER").is_some_and(|value| value == "1");
    match build(is_required) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn build(is_required: bool) -> Result<(), String> {
    let directory = variable("OUT_DIR")?;
    for processor in PROCESSORS {
        let program = Path::new(&directory).join(format!("helper-{processor}"));
        let mut reasons = Vec::new();
        let is_built = SYSTEMS.iter().any(|system| {
            let target = format!("{processor}-{system}");
            compile(&target, &program, is_required)
                .map_err(|reason| reasons.push(format!("the helper can't be built for {target}: {reason}")))
                .is_ok()
        });
        if is_built {
            continue;
        }
        if is_required {
            return Err(reasons.join("\n"));
        }
        fs::write(&program, []).map_err(|error| format!("{}: {error}", program.display()))?;
    }
    Ok(())
}

fn compile(target: &str, program: &Path, is_strict: bool) -> Result<(), String> {
    let mut rustc = Command::new(variable("RUSTC")?);
    // Compiled in that directory, so that the program contains no path of this machine.
    rustc.current_dir("helper").arg("main.rs").arg("-o").arg(program);
    rustc.args([
        "--crate-name=helper",
        "--crate-type=bin",
        "--edition=2024",
        "--target",
        target,
    ]);
    rustc.args(OPTIONS.iter().flat_map(|option| ["-C", option]));
    if target.ends_with("musl") {
        // Omits the start-up code that Rust includes for musl. Not all other targets accept this option.
        rustc.args(["-C", "link-self-contained=no"]);
    }
    if is_strict {
        rustc.args(["-D", "warnings"]);
    }
    let output = rustc.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn variable(name: &str) -> Result<OsString, String> {
    env::var_os(name).ok_or_else(|| format!("cargo did not set {name}"))
}
