//! The limit of reading: a mapped file of the same records, each passed through CRC-32 and nothing else.

use std::{fs::File, io::Write, path::Path};

use memmap2::Mmap;

use super::data::{Event, record_bytes};

pub struct RawLog {
    map: Mmap,
    record: usize,
}

impl RawLog {
    pub fn new(dir: &Path, records: u64) -> RawLog {
        let path = dir.join("raw");
        let record = record_bytes();
        let mut file = std::io::BufWriter::with_capacity(1 << 20, File::create_new(&path).unwrap());
        for number in 0..records {
            let payload = Event::new(number, 1).payload;
            let head = payload.len().min(record);
            file.write_all(&payload[..head]).unwrap();
            file.write_all(&payload[..record - head]).unwrap();
        }
        file.into_inner().unwrap().sync_all().unwrap();
        let file = File::open(path).unwrap();
        // SAFETY: the file lies in a directory that only this process knows, and is not written to again.
        #[allow(unsafe_code)]
        let map = unsafe { Mmap::map(&file) }.unwrap();
        RawLog { map, record }
    }

    pub fn records(&self) -> u64 {
        (self.map.len() / self.record) as u64
    }

    /// The checksum of one record.
    pub fn visit(&self, number: u64) -> u64 {
        let start = number as usize * self.record;
        crc32fast::hash(&self.map[start..start + self.record]).into()
    }
}
