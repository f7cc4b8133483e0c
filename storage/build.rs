//! Migrations are taken into the library when it is compiled: a new file has to be seen.

fn main() {
    println!("cargo::rerun-if-changed=../migrations");
}
