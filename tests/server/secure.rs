//! Who is let in, and what they see: TLS, tokens, roles, prefixes.

use std::{io::Read, net::SocketAddr};

use factlog::{
    CodecId, Error, EventType, ExpectedVersion, Position, ReadAll, Snapshot, Store, StreamAppend, Subscribe, Version,
    client::ClientOptions,
    server::{Role, ServeError, Server, ServerOptions, Token},
};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;

use crate::support::{LONG, Raw, Served, event, patient, preamble, stream};

const READER: &str = "reader-0123456789";
const SHOP: &str = "shop-0123456789ab";
const ROOT: &str = "root-0123456789ab";

fn tokens() -> Vec<Token> {
    vec![
        Token::new("reader", READER, Role::Read, vec![]).unwrap(),
        Token::new("shop", SHOP, Role::Append, vec!["order-".into(), "cart".into()]).unwrap(),
        Token::new("root", ROOT, Role::Admin, vec![]).unwrap(),
    ]
}

fn certificate() -> (String, String) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    (cert.pem(), signing_key.serialize_pem())
}

#[test]
fn over_tls_everything_works_and_only_with_a_certificate_that_is_trusted() {
    let (certificate, key) = certificate();
    let served = Served::with(patient().tls(certificate.as_bytes(), key.as_bytes()).unwrap().tokens(tokens()));
    let url = format!("tls://localhost:{}", served.address.port());
    let options = || ClientOptions::new(&url).unwrap().token(ROOT);
    let client = options().certificates(certificate.as_bytes()).unwrap().connect().unwrap();
    let big = event(vec![7; 3 << 20]);
    client.append(&stream("a"), ExpectedVersion::NoStream, vec![big.clone()]).unwrap();
    assert_eq!(client.read(&stream("a")).next().unwrap().unwrap().payload(), big.payload);
    let other = self::certificate().0;
    let distrusted = options().certificates(other.as_bytes()).unwrap().connect().unwrap_err();
    assert!(distrusted.to_string().contains("TLS"), "{distrusted}");
}

#[test]
fn tls_to_a_plain_port_and_plain_to_a_tls_port_end_with_a_clear_error() {
    let (certificate, key) = certificate();
    let plain = Served::new();
    let tls = format!("tls://localhost:{}", plain.address.port());
    let options = ClientOptions::new(&tls).unwrap().certificates(certificate.as_bytes()).unwrap();
    let error = options.connect().unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }) && error.to_string().contains("TLS"), "{error}");

    let secured = Served::with(patient().tls(certificate.as_bytes(), key.as_bytes()).unwrap());
    let error = ClientOptions::new(&secured.url()).unwrap().connect().unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. } | Error::NotAStore { .. }), "{error:?}");
    let mut raw = Raw(secured.socket());
    raw.send(&preamble());
    let mut rest = Vec::new();
    let _ = raw.0.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"factwire"));
}

#[test]
fn an_address_that_others_can_reach_takes_tls_and_tokens_or_to_be_called_insecure() {
    let (certificate, key) = certificate();
    let directory = TempDir::new().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let everywhere: SocketAddr = "0.0.0.0:0".parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let bind = |options| Server::bind(store.clone(), everywhere, options).map(drop);
    let with_tls = || ServerOptions::new().tls(certificate.as_bytes(), key.as_bytes()).unwrap();
    for unprotected in [ServerOptions::new(), with_tls(), ServerOptions::new().tokens(tokens())] {
        assert!(matches!(bind(unprotected), Err(ServeError::Unprotected { .. })));
    }
    bind(with_tls().tokens(tokens())).unwrap();
    bind(ServerOptions::new().insecure(true)).unwrap();
}

#[test]
fn a_token_decides_who_may_do_what() {
    let served = Served::with(patient().tokens(tokens()));
    let client = |token: &str| served.options().token(token).connect();
    for wrong in ["", "nobody", &READER[1..], &format!("{READER}x")] {
        assert!(matches!(client(wrong), Err(Error::Unauthorized { .. })), "{wrong}");
    }
    let (reader, shop, root) = (client(READER).unwrap(), client(SHOP).unwrap(), client(ROOT).unwrap());
    let refused = |result: Result<_, Error>| matches!(result, Err(Error::Unauthorized { .. }));
    let append = |client: &factlog::client::Client, name: &str| {
        client.append(&stream(name), ExpectedVersion::Any, vec![event(name)]).map(drop)
    };
    assert!(refused(append(&reader, "order-1")) && refused(append(&shop, "user-1")));
    assert!(refused(reader.stats().map(drop)) && refused(shop.stats().map(drop)));
    for name in ["user-1", "order-1", "cartwheel", "other"] {
        append(&root, name).unwrap();
    }
    append(&shop, "order-2").unwrap();
    assert_eq!(root.stats().unwrap().events, 5);
    assert!(refused(shop.stream_version(&stream("user-1")).map(drop)));
    assert!(refused(shop.read(&stream("user-1")).next().unwrap().map(drop)));

    // Of several streams all must be allowed, or nothing is stored.
    let both =
        ["order-1", "user-1"].map(|name| StreamAppend::new(stream(name), ExpectedVersion::Any, vec![event("x")]));
    assert!(refused(shop.append_streams(both.to_vec()).map(drop)));
    assert_eq!(root.stats().unwrap().events, 5);
    let snapshot = |name: &str| Snapshot::new(&stream(name), Version::FIRST, CodecId::JSON, 1, "{}");
    assert!(refused(reader.save_snapshot(snapshot("order-1"))) && refused(shop.save_snapshot(snapshot("user-1"))));
    shop.save_snapshot(snapshot("order-1")).unwrap();
    root.save_snapshot(snapshot("user-1")).unwrap();
    assert!(refused(shop.load_snapshot(&stream("user-1"), Version::MAX).map(drop)));
    assert!(reader.load_snapshot(&stream("user-1"), Version::MAX).unwrap().snapshot.is_some());

    // Of the whole log it sees its own streams, in every way of reading.
    let names = |events: Vec<factlog::RecordedEvent>| -> Vec<String> {
        events.iter().map(|event| event.stream().to_string()).collect()
    };
    let all = || ReadAll::after(Position::START);
    let own = ["order-1", "cartwheel", "order-2"];
    assert_eq!(names(shop.read(all()).map(Result::unwrap).collect()), own);
    assert_eq!(names(shop.read(all().limit(2)).map(Result::unwrap).collect()), own[..2]);
    assert_eq!(names(shop.read(all().backwards().limit(1)).map(Result::unwrap).collect()), own[2..]);
    assert!(shop.read(all().category("user")).next().is_none());
    assert_eq!(names(shop.read(all().event_type(EventType::new("Noted").unwrap())).map(Result::unwrap).collect()), own);
    let since = root.read(&stream("user-1")).next().unwrap().unwrap().timestamp();
    assert_eq!(names(shop.read(all().since(since)).map(Result::unwrap).collect()), own);
    let page = factlog::block_on(factlog::EventStore::read_all(&shop, all())).unwrap();
    assert_eq!(names(page), own);
    let listed: Vec<_> = shop.streams("").map(|listed| listed.unwrap().0.to_string()).collect();
    assert_eq!(listed, own);
    let mut subscription = shop.subscribe(Subscribe::new()).unwrap();
    for name in own {
        assert_eq!(subscription.next_within(LONG).unwrap().unwrap().stream(), stream(name));
    }
    let mut of_type = shop.subscribe(Subscribe::new().event_type(EventType::new("Noted").unwrap())).unwrap();
    let mut of_other = shop.subscribe(Subscribe::new().category("user")).unwrap();
    for name in own {
        assert_eq!(of_type.next_within(LONG).unwrap().unwrap().stream(), stream(name));
    }
    append(&root, "user-2").unwrap();
    append(&root, "order-3").unwrap();
    assert_eq!(of_type.next_within(LONG).unwrap().unwrap().stream(), stream("order-3"));
    // It has come past the event, and was not given it.
    crate::support::until("its position is known", || {
        assert!(of_other.try_next().unwrap().is_none());
        of_other.position() >= Position::new(6)
    });
    assert_eq!(subscription.next_within(LONG).unwrap().unwrap().stream(), stream("order-3"));
}
