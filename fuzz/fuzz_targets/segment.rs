//! A segment of the ledger: events that are read are written as the same bytes. It never stores one.
#![no_main]

use bytes::Bytes;
use ledger::{Segment, SegmentWriter};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(segment) = Segment::decode(Bytes::copy_from_slice(data)) else { return };
    let mut writer = SegmentWriter::new(segment.first());
    for event in segment.events() {
        let Ok((sequence, event)) = event else { return };
        assert_eq!(writer.push(&event), Ok(sequence));
    }
    assert_eq!(writer.finish(), data);
});
