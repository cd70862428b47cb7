//! What must be true of whatever the protocol's decoders make of any bytes.

use bytes::BytesMut;

use super::{Frame, Received, Request, Response, Taken, take};
use crate::limits;

/// Frames one behind the other. What is decoded is encoded to something that decodes to the same.
pub(crate) fn frames(bytes: &[u8]) {
    let mut buffer = BytesMut::from(bytes);
    while let Ok(Taken::Frame(frame)) = take(&mut buffer, limits::FRAME_BYTES) {
        body(frame);
    }
}

/// A frame's body, as a request and as a response, whatever its checksum.
pub(crate) fn body(frame: Received) {
    if let Ok(request) = Request::decode(frame.clone()) {
        let back = again(request.encode(frame.request)).map(Request::decode);
        assert!(matches!(&back, Some(Ok(back)) if *back == request), "{request:?}, {back:?}");
    }
    if let Ok(response) = Response::decode(frame.clone()) {
        let encoded = again(response.encode(frame.request));
        let back = encoded.clone().and_then(|encoded| Response::decode(encoded).ok());
        let back = back.and_then(|back| again(back.encode(frame.request)));
        assert!(encoded.is_some() && back == encoded, "{response:?}");
    }
}

/// The frame as whoever gets it takes it.
fn again(encoded: Frame) -> Option<Received> {
    let mut buffer: BytesMut = encoded.chunks().flatten().collect();
    match take(&mut buffer, usize::MAX) {
        Ok(Taken::Frame(frame)) if buffer.is_empty() => Some(frame),
        _ => None,
    }
}
