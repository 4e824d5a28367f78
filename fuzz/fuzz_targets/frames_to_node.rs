//! What a worker may send: bytes that are a frame are the frame's only bytes. It never opens a socket.
#![no_main]

use bytes::{Bytes, BytesMut};
use cell::protocol::ToNode;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = BytesMut::from(data);
    let mut rest = Bytes::copy_from_slice(data);
    while let Ok(Some(frame)) = ToNode::decode(&mut input) {
        let taken = rest.split_to(rest.len() - input.len());
        let mut again = BytesMut::new();
        frame.encode(&mut again).expect("what was read can be sent");
        assert_eq!(again, taken, "{frame:?}");
    }
});
