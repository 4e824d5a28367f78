//! A file opened for trial: what redb writes while it opens and verifies stays in memory. It never changes
//! the file.

use std::{
    collections::{HashMap, hash_map::Entry},
    fs::File,
    io,
    ops::Bound,
    os::unix::fs::FileExt,
};

use parking_lot::Mutex;
use redb::{BackendError, StorageBackend};

const BLOCK_BYTES: u64 = 4096;

type Block = Box<[u8; BLOCK_BYTES as usize]>;

/// A file under a layer of changed blocks.
#[derive(Debug)]
pub(super) struct Trial {
    file: File,
    file_bytes: u64,
    layer: Mutex<Layer>,
}

#[derive(Debug)]
struct Layer {
    bytes: u64,
    blocks: HashMap<u64, Block>,
}

impl Trial {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let file_bytes = file.metadata()?.len();
        let layer = Mutex::new(Layer { bytes: file_bytes, blocks: HashMap::new() });
        Ok(Self { file, file_bytes, layer })
    }

    /// A block as the file has it; zeros beyond its end.
    fn original(&self, block: u64) -> io::Result<Block> {
        let mut out: Block = Box::new([0; BLOCK_BYTES as usize]);
        let start = block * BLOCK_BYTES;
        let there = self.file_bytes.saturating_sub(start).min(BLOCK_BYTES);
        if let Some(part) = out.get_mut(..there as usize) {
            self.file.read_exact_at(part, start)?;
        }
        Ok(out)
    }

    /// Calls `each` with every block that `length` bytes from `offset` touch, and the bytes within it.
    fn blocks(
        offset: u64,
        length: usize,
        mut each: impl FnMut(u64, std::ops::Range<usize>, usize) -> io::Result<()>,
    ) -> io::Result<()> {
        let (mut at, end) = (offset, offset + length as u64);
        while at < end {
            let block = at / BLOCK_BYTES;
            let from = at % BLOCK_BYTES;
            let count = (BLOCK_BYTES - from).min(end - at);
            each(block, from as usize..(from + count) as usize, (at - offset) as usize)?;
            at += count;
        }
        Ok(())
    }
}

fn outside() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "beyond the end of the file")
}

impl StorageBackend for Trial {
    fn len(&self) -> io::Result<u64> {
        Ok(self.layer.lock().bytes)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let layer = self.layer.lock();
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > layer.bytes) {
            return Err(outside());
        }
        Self::blocks(offset, out.len(), |block, within, at| {
            let to = out.get_mut(at..at + within.len()).ok_or_else(outside)?;
            match layer.blocks.get(&block) {
                Some(bytes) => to.copy_from_slice(bytes.get(within).ok_or_else(outside)?),
                None => to.copy_from_slice(self.original(block)?.get(within).ok_or_else(outside)?),
            }
            Ok(())
        })
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut layer = self.layer.lock();
        if bytes < layer.bytes {
            // What is cut off must read as zeros should the file grow again.
            let last = bytes / BLOCK_BYTES;
            for block in last..self.file_bytes.div_ceil(BLOCK_BYTES) {
                let mut kept = match layer.blocks.remove(&block) {
                    Some(kept) => kept,
                    None => self.original(block)?,
                };
                let from = if block == last { (bytes % BLOCK_BYTES) as usize } else { 0 };
                kept.iter_mut().skip(from).for_each(|b| *b = 0);
                layer.blocks.insert(block, kept);
            }
            layer.blocks.retain(|block, _| *block <= last || *block * BLOCK_BYTES < self.file_bytes);
        }
        layer.bytes = bytes;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut layer = self.layer.lock();
        Self::blocks(offset, data.len(), |block, within, at| {
            let from = data.get(at..at + within.len()).ok_or_else(outside)?;
            let kept = match layer.blocks.entry(block) {
                Entry::Occupied(kept) => kept.into_mut(),
                Entry::Vacant(free) => free.insert(self.original(block)?),
            };
            let to = kept.get_mut(within).ok_or_else(outside)?;
            to.copy_from_slice(from);
            Ok(())
        })
    }

    /// The folder is locked already.
    fn try_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }
}
