//! Data directories that cannot be used: each is refused with what to do about it, and nothing is touched.

use std::fs;

use super::process::{Process, ends, program, serve_args};

#[tokio::test]
async fn a_directory_in_use_is_refused() {
    let home = tempfile::tempdir().expect("a directory");
    let data = home.path().join("data");
    let mut first = Process::spawn(home.path(), &data);
    let api = first.ready().await;
    let (status, said) = ends(program(), &serve_args(&data));
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("in use by another process"), "{said}");
    assert!(said.contains(&first.id().to_string()), "{said}");
    assert!(
        said.contains("stop it, or use another node.data_dir"),
        "{said}"
    );
    let (status, _) = api.get("/health/ready").await;
    assert!(status.is_success(), "the first one goes on");
}

#[test]
fn a_directory_of_somebody_else_or_of_a_newer_program_is_refused() {
    let home = tempfile::tempdir().expect("a directory");
    let data = home.path().join("data");
    fs::create_dir(&data).expect("made");
    fs::write(data.join("thesis.txt"), "years of work").expect("written");
    let (status, said) = ends(program(), &serve_args(&data));
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(
        said.contains("use an empty directory as node.data_dir"),
        "{said}"
    );
    fs::write(data.join("format"), "ampora data 99\n").expect("written");
    let (status, said) = ends(program(), &serve_args(&data));
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(
        said.contains("format 99") && said.contains("use a newer ampora"),
        "{said}"
    );
    let left = fs::read_dir(&data).expect("read").count();
    assert_eq!(left, 2, "nothing was added");
}
