//! Compiles the OpAMP schema without `protoc`: byte fields become shared `Bytes`, maps are ordered.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=opamp/opamp.proto");
    let descriptors = protox::compile(["opamp/opamp.proto"], ["opamp"])?;
    prost_build::Config::new()
        .bytes(["."])
        .btree_map(["."])
        .compile_fds(descriptors)?;
    Ok(())
}
