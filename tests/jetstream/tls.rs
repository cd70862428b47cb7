//! Connections that are secured.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use rcgen::{CertifiedKey, generate_simple_self_signed};

use crate::nats::{Nats, Setting, USUAL};

fn factlog(trusted: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_factlog"));
    let Output { status, stdout, stderr } = command.env("SSL_CERT_FILE", trusted).args(arguments).output().unwrap();
    (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

#[test]
fn a_server_with_a_certificate_is_used_only_when_the_certificate_is_trusted_and_names_it() {
    let place = tempfile::tempdir().unwrap();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let other = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap().cert;
    let [ours, key, other] =
        [("cert", cert.pem()), ("key", signing_key.serialize_pem()), ("other", other.pem())].map(|(name, content)| {
            let file = place.path().join(name);
            fs::write(&file, content).unwrap();
            file
        });
    // It is there as long as the tests are.
    let more: &'static str = format!("tls {{ cert_file: {ours:?}, key_file: {key:?} }}").leak();
    let nats = Nats::with(1, Setting { more, ..USUAL });
    let address = nats.address("secured").replacen("127.0.0.1", "localhost", 1);
    let create = |store: &str, trusted: &Path| {
        factlog(trusted, &["--store", store, "users", "create", "a", "--name", "A", "--email", "a@b.c"])
    };
    for address in [&address, &format!("{address}&tls")] {
        let (code, said) = create(address, &other);
        assert!(code == Some(2) && said.contains("certificate") && said.contains("SSL_CERT_FILE"), "{said}");
    }
    let (code, said) = create(&nats.address("secured"), &ours);
    assert!(code == Some(2) && said.contains("not valid for name"), "{said}");
    let (code, said) = create(&format!("{address}&tls"), &ours);
    assert_eq!(code, Some(0), "{said}");
    let copy = place.path().join("copy");
    let (code, said) = factlog(&other, &["copy", "--from", &address, "--to", copy.to_str().unwrap()]);
    assert!(code == Some(2) && !said.contains("trying again"), "{said}");
    let (code, said) = factlog(&ours, &["copy", "--from", &address, "--to", copy.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{said}");
}
