//! Connections that are secured.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};

use rcgen::{CertifiedKey, generate_simple_self_signed};

use crate::{
    postgres::{PASSWORD, Postgres},
    support::{patient, whole_log},
};

/// A server that takes no connection without TLS, and a file with its certificate, which is for `localhost`.
fn secured() -> (Postgres, tempfile::TempDir) {
    let server = Postgres::new();
    let trusted = tempfile::tempdir().unwrap();
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let data = server.place().join("data");
    for (name, content) in [
        ("server.crt", cert.pem()),
        ("server.key", signing_key.serialize_pem()),
        ("pg_hba.conf", "hostssl all all 127.0.0.1/32 scram-sha-256\n".to_owned()),
    ] {
        fs::write(data.join(name), content).unwrap();
        fs::set_permissions(data.join(name), fs::Permissions::from_mode(0o600)).unwrap();
        server.give(&data.join(name));
    }
    fs::write(trusted.path().join("trusted.pem"), cert.pem()).unwrap();
    let other = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap().cert;
    fs::write(trusted.path().join("other.pem"), other.pem()).unwrap();
    server.execute("postgres", "ALTER SYSTEM SET ssl = on");
    server.kill();
    server.start();
    (server, trusted)
}

fn factlog(trusted: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_factlog"));
    let Output { status, stdout, stderr } = command.env("SSL_CERT_FILE", trusted).args(arguments).output().unwrap();
    let said = String::from_utf8([stdout, stderr].concat()).unwrap();
    assert!(!said.contains(PASSWORD), "{said}");
    (status.code(), said)
}

#[test]
fn a_server_with_a_certificate_is_used_only_when_the_certificate_is_trusted_and_names_it() {
    let (server, trusted) = secured();
    let address = server.database().replace("127.0.0.1", "localhost");
    let [ours, other] = ["trusted.pem", "other.pem"].map(|name| trusted.path().join(name));
    let create = |store: &str, trusted: &Path| {
        factlog(trusted, &["--store", store, "users", "create", "a", "--name", "A", "--email", "a@b.c"])
    };
    let (code, said) = create(&address, &ours);
    assert!(code == Some(1) && said.contains("no encryption") && said.contains("?sslmode=require"), "{said}");
    for mode in ["require", "verify-ca", "verify-full"] {
        let secure = format!("{address}?sslmode={mode}");
        let (code, said) = create(&secure, &other);
        assert!(code == Some(2) && said.contains("certificate") && said.contains("SSL_CERT_FILE"), "{said}");
        let (code, said) = create(&secure.replace("localhost", "127.0.0.1"), &ours);
        assert!(code == Some(2) && said.contains("not valid for name"), "{said}");
    }
    let secure = format!("{address}?sslmode=verify-full");
    assert_eq!(create(&secure, &ours).0, Some(0));
    let list = |trusted: &Path| factlog(trusted, &["--store", &secure, "users", "list", "--views", &secure]);
    let (code, said) = list(&ours);
    assert!(code == Some(0) && said.contains("a@b.c"), "{said}");
    // Whom nobody trusts is not asked again for a minute.
    let (code, said) =
        factlog(&other, &["copy", "--from", &secure, "--to", trusted.path().join("copy").to_str().unwrap()]);
    assert!(code == Some(2) && !said.contains("trying again"), "{said}");
    let (code, said) =
        factlog(&ours, &["copy", "--from", &secure, "--to", trusted.path().join("copy").to_str().unwrap()]);
    assert_eq!(code, Some(0), "{said}");
    fs::write(server.place().join("data/pg_hba.conf"), "host all all 127.0.0.1/32 scram-sha-256\n").unwrap();
    server.execute("postgres", "SELECT pg_reload_conf()");
    server.kill();
    server.start();
    assert_eq!(whole_log(&patient(&address.replace("localhost", "127.0.0.1"))).len(), 1);
}
