//! Links the kernel by linker.ld and without the C library, when it is built with the flags of a
//! freestanding program. Without them the program does nothing: the unit tests are the library's.
use std::env;
use std::path::Path;

const LINK_ARGS: &[&str] = &[
    "-nostartfiles",
    "-nostdlib",
    "-static",
    "-no-pie",
    "-Wl,--gc-sections",
    "-Wl,-z,noexecstack",
    "-Wl,-z,norelro",
    "-Wl,--build-id=none",
];

fn main() -> Result<(), env::VarError> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../linker.ld");
    println!("cargo::rustc-check-cfg=cfg(freestanding)");
    // The one flag that only the freestanding build has: kernel.mk gives it.
    if env::var("CARGO_CFG_GETRANDOM_BACKEND").as_deref() != Ok("custom") {
        return Ok(());
    }
    println!("cargo::rustc-cfg=freestanding");
    let script = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../linker.ld");
    println!("cargo::rustc-link-arg-bins=-Wl,-T,{}", script.display());
    for arg in LINK_ARGS {
        println!("cargo::rustc-link-arg-bins={arg}");
    }
    Ok(())
}
