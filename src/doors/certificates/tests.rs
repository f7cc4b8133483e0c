//! What is taken up of changing files, and when.

use super::*;
use crate::doors::testing::{Authority, Shelf};

struct Watched {
    shelf: Shelf,
    certificates: Arc<Certificates>,
}

impl Watched {
    fn start(shelf: Shelf) -> Self {
        let certificates = Certificates::load("opamp", &shelf.tls()).expect("a good pair");
        Self {
            certificates: certificates.expect("TLS is stated"),
            shelf,
        }
    }

    /// Looks, and tells whether other certificates are in use than before.
    fn look(&self, is_complete: bool) -> (Look, bool) {
        let before = self.certificates.current();
        let look = self.certificates.look(is_complete);
        let is_other = !Arc::ptr_eq(&before, &self.certificates.current());
        (look, is_other)
    }
}

#[test]
fn a_new_pair_is_taken_up_once_it_stays() {
    let authority = Authority::new();
    let watched = Watched::start(Shelf::new(&authority.sign("a.example")));
    assert_eq!(watched.look(false), (Look::Same, false));
    let next = authority.sign("a.example");
    watched.shelf.write("cert.pem", &next.certificate);
    assert_eq!(watched.look(false), (Look::Waiting, false));
    watched.shelf.write("key.pem", &next.key);
    assert_eq!(watched.look(false), (Look::Waiting, false));
    assert_eq!(watched.look(false), (Look::TakenUp, true));
    assert_eq!(watched.look(false), (Look::Same, false));
}

#[test]
fn a_signal_takes_up_at_once() {
    let authority = Authority::new();
    let watched = Watched::start(Shelf::new(&authority.sign("a.example")));
    watched.shelf.put(&authority.sign("a.example"));
    assert_eq!(watched.look(true), (Look::TakenUp, true));
    assert_eq!(watched.look(true), (Look::Same, false));
}

#[test]
fn a_bad_pair_is_refused_once_and_the_old_one_stays() {
    let authority = Authority::new();
    let old = authority.sign("a.example");
    let watched = Watched::start(Shelf::new(&old));
    watched
        .shelf
        .write("cert.pem", authority.sign("a.example").certificate);
    assert_eq!(watched.look(false), (Look::Waiting, false));
    assert_eq!(watched.look(false), (Look::Refused, false));
    assert_eq!(watched.look(false), (Look::Same, false), "said once");
    assert_eq!(
        watched.look(true),
        (Look::Refused, false),
        "who asks is told"
    );
    watched.shelf.put(&old);
    assert_eq!(watched.look(false), (Look::Same, false));
    watched.shelf.put(&authority.sign("a.example"));
    assert_eq!(watched.look(true), (Look::TakenUp, true));
}

#[test]
fn a_file_that_is_gone_is_told_once_and_forgiven() {
    let authority = Authority::new();
    let watched = Watched::start(Shelf::new(&authority.sign("a.example")));
    std::fs::remove_file(watched.shelf.path("key.pem")).unwrap();
    assert_eq!(watched.look(false), (Look::Waiting, false));
    assert_eq!(watched.look(false), (Look::Refused, false));
    assert_eq!(watched.look(false), (Look::Same, false));
    watched.shelf.put(&authority.sign("a.example"));
    assert_eq!(watched.look(false), (Look::Waiting, false));
    assert_eq!(watched.look(false), (Look::TakenUp, true));
}

#[test]
fn a_turned_link_is_seen() {
    let authority = Authority::new();
    let shelf = Shelf::new(&authority.sign("a.example"));
    // as Kubernetes mounts a secret: files are links into a directory, which is a link itself
    for name in ["one", "two"] {
        let pair = authority.sign("a.example");
        std::fs::create_dir(shelf.path(name)).unwrap();
        shelf.write(&format!("{name}/cert.pem"), &pair.certificate);
        shelf.write(&format!("{name}/key.pem"), &pair.key);
    }
    std::os::unix::fs::symlink("one", shelf.path("..data")).unwrap();
    for name in ["cert.pem", "key.pem"] {
        std::fs::remove_file(shelf.path(name)).unwrap();
        std::os::unix::fs::symlink(format!("..data/{name}"), shelf.path(name)).unwrap();
    }
    let watched = Watched::start(shelf);
    std::os::unix::fs::symlink("two", watched.shelf.path("..next")).unwrap();
    std::fs::rename(watched.shelf.path("..next"), watched.shelf.path("..data")).unwrap();
    assert_eq!(watched.look(false), (Look::Waiting, false));
    assert_eq!(watched.look(false), (Look::TakenUp, true));
}

#[test]
fn authorities_of_clients_are_taken_up_too() {
    let authority = Authority::new();
    let shelf = Shelf::new(&authority.sign("a.example"));
    shelf.write("ca.pem", &authority.pem);
    let tls = Tls {
        client_ca_file: Some(shelf.path("ca.pem")),
        ..shelf.tls()
    };
    let certificates = Certificates::load("admin", &tls).unwrap().unwrap();
    shelf.write("ca.pem", Authority::new().pem);
    assert_eq!(certificates.look(true), Look::TakenUp);
}
