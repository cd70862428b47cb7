use std::{collections::HashMap, io, path::PathBuf, sync::Arc};

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::*;
use crate::{
    codec::{CodecError, CodecId},
    error::{Action, Damage, Error, Holder, Lost, Place},
    event::{EventId, EventType, InvalidInput, NewEvent, Recorded, RecordedEvent, StreamName, Timestamp},
    event_store::{
        Appended, CursorName, LoadedSnapshot, ReadAll, ReadStream, SkipReason, SkippedSnapshot, Snapshot, Start, Stats,
        StreamAppend, Subscribe,
    },
    limits,
    version::{ExpectedVersion, Position, Version},
};

fn received(frame: &Frame) -> Received {
    let mut buffer = BytesMut::from(&frame.to_bytes()[..]);
    match take(&mut buffer, limits::FRAME_BYTES).unwrap() {
        Taken::Frame(received) if buffer.is_empty() => received,
        other => panic!("{other:?}, and {} bytes are left", buffer.len()),
    }
}

fn stream() -> impl Strategy<Value = StreamName> {
    "[^\\pC$]\\PC{0,30}".prop_map(|name| StreamName::new(name).unwrap())
}

fn event_type() -> impl Strategy<Value = EventType> {
    "\\PC{1,20}".prop_map(|name| EventType::new(name).unwrap())
}

fn version() -> impl Strategy<Value = Version> {
    any::<u64>().prop_map(Version::new)
}

fn position() -> impl Strategy<Value = Position> {
    any::<u64>().prop_map(Position::new)
}

fn id() -> impl Strategy<Value = EventId> {
    any::<u128>().prop_map(|id| uuid::Uuid::from_u128(id).into())
}

fn bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![prop::collection::vec(any::<u8>(), 0..50), prop::collection::vec(any::<u8>(), 2040..2060)]
        .prop_map(Bytes::from)
}

fn expected() -> impl Strategy<Value = ExpectedVersion> {
    prop_oneof![
        Just(ExpectedVersion::Any),
        Just(ExpectedVersion::NoStream),
        Just(ExpectedVersion::StreamExists),
        version().prop_map(ExpectedVersion::Exact),
    ]
}

fn new_event() -> impl Strategy<Value = NewEvent> {
    let time = prop::option::of(any::<i64>().prop_map(Timestamp::from_micros));
    (id(), event_type(), bytes(), bytes(), time).prop_map(|(id, event_type, payload, metadata, timestamp)| NewEvent {
        id,
        event_type,
        payload,
        metadata,
        timestamp,
    })
}

fn recorded() -> impl Strategy<Value = RecordedEvent> {
    (position(), version(), id(), any::<i64>(), stream(), event_type(), bytes(), bytes()).prop_map(
        |(position, version, id, micros, stream, event_type, metadata, payload)| {
            let recorded = Recorded { position, version, id, timestamp: Timestamp::from_micros(micros) };
            RecordedEvent::new(recorded, &stream, &event_type, &metadata, &payload)
        },
    )
}

fn snapshot() -> impl Strategy<Value = Snapshot> {
    (stream(), version(), any::<u32>(), any::<u32>(), bytes(), any::<i64>()).prop_map(
        |(stream, version, codec, state_version, state, micros)| Snapshot {
            stream,
            version,
            codec: CodecId::new(codec),
            state_version,
            state,
            timestamp: Timestamp::from_micros(micros),
        },
    )
}

type Selection = (Option<StreamName>, Option<String>, Vec<EventType>);

fn selection() -> impl Strategy<Value = Selection> {
    (prop::option::of(stream()), prop::option::of("\\PC{0,20}"), prop::collection::vec(event_type(), 0..4))
}

fn flow() -> impl Strategy<Value = Flow> {
    prop_oneof![Just(Flow::Page), any::<u32>().prop_map(Flow::Stream)]
}

fn read_all() -> impl Strategy<Value = ReadAll> {
    let since = prop::option::of(any::<i64>().prop_map(Timestamp::from_micros));
    (position(), position(), any::<usize>(), any::<bool>(), selection(), since).prop_map(
        |(after, before, limit, backwards, (stream, category, types), since)| ReadAll {
            after,
            before,
            limit,
            backwards,
            types,
            category,
            stream,
            since,
        },
    )
}

fn resume() -> impl Strategy<Value = Resume> {
    let cursor = "[a-z0-9_-]{1,20}".prop_map(|name| Start::Cursor(CursorName::new(name).unwrap()));
    let start = prop_oneof![Just(Start::Beginning), position().prop_map(Start::After), cursor];
    (start, prop::option::of(position()), selection()).prop_map(|(start, behind, (stream, category, types))| Resume {
        behind: behind.filter(|_| matches!(start, Start::Cursor(_))),
        subscribe: Subscribe { start, stream, category, types },
    })
}

fn request() -> impl Strategy<Value = Request> {
    let append = (stream(), expected(), prop::collection::vec(new_event(), 0..4));
    let append = append.prop_map(|(stream, expected, events)| StreamAppend { stream, expected, events });
    let read_stream = (stream(), version(), version(), any::<usize>(), any::<bool>())
        .prop_map(|(stream, from, to, limit, backwards)| ReadStream { stream, from, to, limit, backwards });
    prop_oneof![
        "\\PC{0,40}".prop_map(|secret| Request::Hello(Secret::new(secret))),
        Just(Request::Ping),
        prop::collection::vec(append, 0..3).prop_map(Request::Append),
        (read_stream, flow()).prop_map(|(read, flow)| Request::ReadStream(read, flow)),
        (read_all(), flow()).prop_map(|(read, flow)| Request::ReadAll(read, flow)),
        stream().prop_map(Request::StreamVersion),
        Just(Request::LastPosition),
        (resume(), any::<u32>()).prop_map(|(resume, credit)| Request::Subscribe(resume, credit)),
        (any::<u64>(), position()).prop_map(|(subscription, position)| Request::Acknowledge { subscription, position }),
        any::<u64>().prop_map(|request| Request::Cancel { request }),
        (any::<u64>(), any::<u32>()).prop_map(|(request, bytes)| Request::Credit { request, bytes }),
        snapshot().prop_map(Request::SaveSnapshot),
        (stream(), version()).prop_map(|(stream, at_or_below)| Request::LoadSnapshot { stream, at_or_below }),
        Just(Request::Statistics),
        ("\\PC{0,20}", flow()).prop_map(|(prefix, flow)| Request::Streams(prefix, flow)),
    ]
}

/// One error of each variant and of each rule of input.
fn every_error() -> Vec<Error> {
    let stream = || StreamName::new("order-1").unwrap();
    let id = EventId::from(uuid::Uuid::from_u128(7));
    let path = PathBuf::from("/a/b");
    let source = |kind| Arc::new(io::Error::new(kind, "so it is"));
    let (version, position, actual) = (Version::new(3), Position::new(9), Version::new(5));
    let damage = Damage { place: Place { file: "log/1.seg".into(), offset: 17, position }, fault: "rotten".into() };
    let what = "event type";
    let text = || "é".to_owned();
    let invalid = [
        InvalidInput::Empty { what },
        InvalidInput::TooLarge { what, unit: "bytes", found: usize::MAX, limit: 256 },
        InvalidInput::ControlCharacter { what, character: 7, at: 3 },
        InvalidInput::NotUtf8 { what: "stream name" },
        InvalidInput::ReservedStreamName,
        InvalidInput::NoEvents,
        InvalidInput::Time { text: "yesterday".into() },
        InvalidInput::Json { what: "payload", reason: text() },
        InvalidInput::EmptySnapshot,
        InvalidInput::State { reason: text() },
        InvalidInput::CursorName { character: '/', at: 1 },
        InvalidInput::StreamTwice { stream: text() },
        InvalidInput::IdTwice { stream: text(), id },
        InvalidInput::NoCursor,
        InvalidInput::NotGivenOut { position, given: Position::START },
    ];
    let mut all: Vec<Error> = invalid.into_iter().map(Error::Invalid).collect();
    all.extend([
        Error::WrongExpectedVersion { stream: stream(), expected: ExpectedVersion::Exact(version), actual },
        Error::DuplicateEventId { stream: stream(), id, version },
        Error::NoSpace { path: path.clone(), source: source(io::ErrorKind::StorageFull) },
        Error::InUse { path: path.clone(), holder: Holder::Process(77) },
        Error::InUse { path: path.clone(), holder: Holder::Unknown },
        Error::SnapshotAhead { stream: stream(), version, actual },
        Error::CursorAhead { cursor: "mailer".into(), position, last: Position::FIRST },
        Error::ReadOnly { path: path.clone() },
        Error::NotAStore { path: path.clone(), reason: text() },
        Error::NotWritable { path: path.clone(), source: source(io::ErrorKind::PermissionDenied) },
        damage.into(),
        Error::OutcomeUnknown { reason: "cannot sync".into() },
        Error::Io { operation: "read", path, source: source(io::ErrorKind::Other) },
        Error::Unavailable { server: "tcp://a:1".into(), reason: text() },
        Error::Unauthorized { reason: text() },
        Error::Unsupported { store: text(), what: text() },
        Error::Lost(Lost::Positions { first: Position::new(3), last: position }),
        Error::Lost(Lost::Version { stream: stream(), version }),
        Error::Remote { code: 4711, action: Action::Retry, message: text() },
    ]);
    all
}

fn skip_reason() -> impl Strategy<Value = SkipReason> {
    let place = Place { file: "snapshots/x".into(), offset: 1, position: Position::new(4) };
    let damage = Damage { place, fault: "a bit".into() };
    prop::sample::select(vec![
        SkipReason::Damaged(damage.clone()),
        SkipReason::Misplaced(damage),
        SkipReason::Ahead { actual: Version::new(3) },
        SkipReason::Unreadable(Error::OutcomeUnknown { reason: "x".into() }),
        SkipReason::Codec { found: CodecId::new(7), expected: CodecId::JSON },
        SkipReason::StateVersion { found: 1, expected: 2 },
        SkipReason::State(CodecError::decode(CodecId::JSON, "no JSON")),
    ])
}

fn response() -> impl Strategy<Value = Response> {
    let appended = (version(), version(), position()).prop_map(|(first_version, version, position)| Appended {
        first_version,
        version,
        position,
    });
    let skipped = (stream(), version(), skip_reason()).prop_map(|(stream, version, reason)| SkippedSnapshot {
        stream,
        version,
        reason,
    });
    let loaded = (prop::option::of(snapshot()), prop::collection::vec(skipped, 0..3));
    let streams = prop::collection::vec((stream(), version()), 0..4);
    prop_oneof![
        (any::<u32>(), any::<u32>(), "\\PC{0,20}").prop_map(|(frame_bytes, requests, server)| {
            Response::Welcome(Welcome { frame_bytes, requests, server })
        }),
        Just(Response::Done),
        prop::collection::vec(appended, 0..4).prop_map(Response::Appended),
        (any::<bool>(), position(), prop::collection::vec(recorded(), 0..4))
            .prop_map(|(last, position, events)| Response::Events { last, position, events }),
        version().prop_map(Response::Version),
        position().prop_map(Response::Position),
        loaded.prop_map(|(snapshot, skipped)| Response::Snapshot(LoadedSnapshot { snapshot, skipped })),
        (any::<[u64; 6]>(), position()).prop_map(
            |([events, streams, segments, bytes, index_runs, index_bytes], last_position)| {
                Response::Statistics(Stats { events, streams, segments, bytes, index_runs, index_bytes, last_position })
            }
        ),
        (any::<bool>(), streams).prop_map(|(last, streams)| Response::Streams { last, streams }),
        prop::sample::select(every_error()).prop_map(Response::Error),
    ]
}

proptest! {
    #[test]
    fn a_request_comes_back_as_it_was_sent(id in any::<u64>(), request in request()) {
        let frame = received(&request.encode(id));
        prop_assert_eq!(frame.request, id);
        prop_assert_eq!(Request::decode(frame).unwrap(), request);
    }

    #[test]
    fn a_response_comes_back_as_it_was_sent(id in any::<u64>(), response in response()) {
        let frame = response.encode(id);
        let back = Response::decode(received(&frame)).unwrap();
        prop_assert_eq!(format!("{back:?}"), format!("{response:?}"));
        prop_assert_eq!(back.encode(id).to_bytes(), frame.to_bytes());
    }

    #[test]
    fn what_is_added_behind_the_known_fields_is_passed_over(
        (request, response) in (request(), response()),
        added in prop::collection::vec(any::<u8>(), 1..20),
    ) {
        let with = |frame: Frame| {
            let Received { request, kind, body } = received(&frame);
            Received { request, kind, body: [&body[..], &added].concat().into() }
        };
        prop_assert_eq!(Request::decode(with(request.encode(1))).unwrap(), request);
        // Behind an error of a code that is not known, its own fields stand, which are passed over as well.
        let back = Response::decode(with(response.encode(1))).unwrap();
        prop_assert_eq!(format!("{back:?}"), format!("{response:?}"));
    }

    #[test]
    fn no_bytes_make_a_decoder_panic_or_take_more_than_they_are(
        kind in prop_oneof![0u16..20, 0x8000u16..0x8010, Just(0x80ff), any::<u16>()],
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let frame = Received { request: 1, kind, body: body.into() };
        let _ = Request::decode(frame.clone());
        let _ = Response::decode(frame);
    }

    #[test]
    fn a_body_that_is_cut_or_changed_is_decoded_to_something_else_or_refused(
        request in request(), response in response(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        for frame in [request.encode(1), response.encode(1)] {
            let Received { request, kind, body } = received(&frame);
            if body.is_empty() {
                continue;
            }
            let at = at.index(body.len());
            let mut changed = body.to_vec();
            changed[at] ^= byte;
            for body in [body.slice(..at), changed.into()] {
                let frame = Received { request, kind, body };
                let _ = Request::decode(frame.clone());
                let _ = Response::decode(frame);
            }
        }
    }

    #[test]
    fn frames_are_taken_one_by_one_however_they_arrive(
        requests in prop::collection::vec(request(), 1..5), piece in 1usize..100,
    ) {
        let sent: Vec<u8> = requests.iter().enumerate().flat_map(|(id, r)| r.encode(id as u64).to_bytes()).collect();
        let (mut buffer, mut taken) = (BytesMut::new(), Vec::new());
        for piece in sent.chunks(piece) {
            buffer.extend_from_slice(piece);
            while let Taken::Frame(frame) = take(&mut buffer, limits::FRAME_BYTES).unwrap() {
                prop_assert_eq!(frame.request, taken.len() as u64);
                taken.push(Request::decode(frame).unwrap());
            }
        }
        prop_assert_eq!(taken, requests);
    }
}

#[test]
fn every_error_comes_back_with_its_fields_and_the_same_words_and_action() {
    for error in every_error() {
        let frame = received(&Response::Error(error.clone()).encode(1));
        let Response::Error(back) = Response::decode(frame).unwrap() else { panic!("{error}") };
        assert_eq!(std::mem::discriminant(&back), std::mem::discriminant(&error), "{error}");
        assert_eq!((back.to_string(), back.action()), (error.to_string(), error.action()));
    }
}

#[test]
fn an_error_with_a_word_that_is_not_known_keeps_its_meaning_and_its_words() {
    let error = Error::Invalid(InvalidInput::Empty { what: "hat" });
    let frame = received(&Response::Error(error.clone()).encode(1));
    let Response::Error(back) = Response::decode(frame).unwrap() else { panic!("no error") };
    assert!(matches!(back, Error::Remote { code: 3, action: Action::FixInput, .. }), "{back:?}");
    assert_eq!(back.to_string(), error.to_string());
}

#[test]
fn a_length_beyond_the_limits_is_refused_before_the_frame_is_there() {
    let taken = |length: u32, limit: usize| {
        let mut buffer = BytesMut::from(&length.to_le_bytes()[..]);
        take(&mut buffer, limit)
    };
    for length in [0, 1, 13, 101, 1 << 31, u32::MAX - 1, u32::MAX] {
        assert!(breaks_protocol(&taken(length, 100).unwrap_err()), "{length}");
    }
    assert_eq!(taken(14, 100).unwrap(), Taken::Missing(14));
    assert_eq!(taken(100, 100).unwrap(), Taken::Missing(100));
}

#[test]
fn every_flipped_bit_of_a_frame_is_noticed() {
    let whole = Request::StreamVersion(StreamName::new("order-1").unwrap()).encode(9).to_bytes();
    for bit in 0..whole.len() * 8 {
        let mut changed = whole.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let taken = take(&mut BytesMut::from(&changed[..]), whole.len());
        // A length that claims more makes the reader wait for it, and fail then.
        assert!(!matches!(taken, Ok(Taken::Frame(_))), "bit {bit}");
    }
}

#[test]
fn an_event_of_a_frame_is_a_view_of_it_and_is_not_copied_to_be_sent() {
    let stream = StreamName::new("a").unwrap();
    let at = Recorded {
        position: Position::FIRST,
        version: Version::FIRST,
        id: EventId::generate(),
        timestamp: Timestamp::from_micros(0),
    };
    let event = RecordedEvent::new(at, &stream, &EventType::new("T").unwrap(), b"", &[7; 1000]);
    let mut frame = EventsFrame::with_capacity(1);
    frame.push(&event);
    let frame = frame.seal(1, true, Position::START);
    let lies_in = |bytes: &[u8], part: &[u8]| bytes.as_ptr_range().contains(&part.as_ptr());
    assert!(frame.chunks().any(|chunk| lies_in(chunk, &event.payload())));
    let received = received(&frame);
    let body = received.body.clone();
    let Response::Events { events, .. } = Response::decode(received).unwrap() else { panic!("no events") };
    assert!(lies_in(&body, &events[0].payload()));
}

/// The frames that docs/protocol.md shows, by the names that it gives them.
fn shown() -> HashMap<&'static str, Vec<u8>> {
    let stream = || StreamName::new("order-17").unwrap();
    let paid = || EventType::new("Paid").unwrap();
    let id = EventId::from(uuid::Uuid::from_u128(0x0102_0304_0506_7708_890a_0b0c_0d0e_0f10));
    let event = NewEvent::new(paid(), "{}").with_id(id);
    let append = StreamAppend::new(stream(), ExpectedVersion::NoStream, vec![event]);
    let recorded = Recorded {
        position: Position::new(42),
        version: Version::FIRST,
        id,
        timestamp: Timestamp::from_micros(1_534_327_818_000_000),
    };
    let recorded = RecordedEvent::new(recorded, &stream(), &paid(), b"", b"{}");
    let appended = Appended { first_version: Version::FIRST, version: Version::FIRST, position: Position::new(42) };
    let conflict =
        Error::WrongExpectedVersion { stream: stream(), expected: ExpectedVersion::NoStream, actual: Version::FIRST };
    let subscribe = Subscribe::new().category("order").cursor(CursorName::new("mailer").unwrap());
    let welcome = Welcome { frame_bytes: 83_886_080, requests: 1024, server: "factlog 0.1.0".into() };
    HashMap::from([
        ("client preamble", ClientPreamble::OWN.encode().to_vec()),
        ("server preamble", ServerPreamble::Version(1).encode().to_vec()),
        ("refusal", ServerPreamble::Refused(Refusal::TooManyConnections).encode().to_vec()),
        ("hello", Request::Hello(Secret::new("s3cret")).encode(1).to_bytes()),
        ("welcome", Response::Welcome(welcome).encode(1).to_bytes()),
        ("append", Request::Append(vec![append]).encode(2).to_bytes()),
        ("appended", Response::Appended(vec![appended]).encode(2).to_bytes()),
        ("conflict", Response::Error(conflict).encode(3).to_bytes()),
        ("read a stream", Request::ReadStream(ReadStream::new(&stream()), Flow::Page).encode(4).to_bytes()),
        ("events", {
            let (last, position) = (true, Position::START);
            Response::Events { last, position, events: vec![recorded] }.encode(4).to_bytes()
        }),
        ("subscribe", Request::Subscribe(Resume { subscribe, behind: None }, 65_536).encode(5).to_bytes()),
        ("subscribed", Response::Position(Position::new(40)).encode(5).to_bytes()),
        ("credit", Request::Credit { request: 5, bytes: 32_768 }.encode(0).to_bytes()),
        ("acknowledge", Request::Acknowledge { subscription: 5, position: Position::new(42) }.encode(6).to_bytes()),
        ("done", Response::Done.encode(6).to_bytes()),
    ])
}

#[test]
fn the_frames_in_the_documentation_are_those_that_are_sent() {
    let text = include_str!("../../docs/protocol.md");
    let mut shown = shown();
    let blocks = text.split("```hex ").skip(1).map(|block| block.split("```").next().unwrap_or_default());
    for block in blocks {
        let (name, lines) = block.split_once('\n').unwrap();
        let digits = lines.lines().filter_map(|line| line.split('|').next()).flat_map(str::split_whitespace);
        let bytes: Vec<u8> = digits.map(|digits| u8::from_str_radix(digits, 16).unwrap()).collect();
        let sent = shown.remove(name).unwrap_or_else(|| panic!("nothing is known of `{name}`"));
        assert_eq!(bytes, sent, "{name}");
    }
    assert!(shown.is_empty(), "not shown: {:?}", shown.keys());
}
