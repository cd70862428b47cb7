//! The files of a store, laid out by docs/format.md.

/// Bytes of a page, and of what a segment or run begins with.
pub const PAGE: usize = 4096;

/// The same bytes, sealed: format 1, and the checksum of all but itself. The magic stays what it is.
pub fn sealed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if bytes.len() >= 16 {
        bytes[8..12].copy_from_slice(&1u32.to_le_bytes());
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(&bytes[..12]);
        checksum.update(&bytes[16..]);
        bytes[12..16].copy_from_slice(&checksum.finalize().to_le_bytes());
    }
    bytes
}

/// A record of these bytes, as long as they are but for up to seven bytes of padding, with its checksums.
pub fn checked_record(bytes: &[u8], salt: u32) -> Vec<u8> {
    let mut record = bytes.to_vec();
    if record.len() < 40 {
        return record;
    }
    record.truncate(bytes.len() / 8 * 8);
    let end = record.len() - usize::from(bytes[4] % 8);
    record[end..].fill(0);
    record[4..8].copy_from_slice(&(end as u32).to_le_bytes());
    let head_end = 32 + usize::from(u16::from_le_bytes([record[28], record[29]])) % (end - 32 + 1);
    record[28..30].copy_from_slice(&((head_end - 32) as u16).to_le_bytes());
    let body = crc32fast::hash(&record[head_end..end]);
    record[24..28].copy_from_slice(&body.to_le_bytes());
    let checksum = salted(salt, &record[4..head_end]);
    record[..4].copy_from_slice(&checksum.to_le_bytes());
    record
}

/// A checksum begun with a salt.
pub fn salted(salt: u32, bytes: &[u8]) -> u32 {
    let mut checksum = crc32fast::Hasher::new_with_initial(salt);
    checksum.update(bytes);
    checksum.finalize()
}

/// A run of these bytes with its checksums, if its header says where they belong.
pub fn checked_run(bytes: &[u8]) -> Vec<u8> {
    let mut run = bytes.to_vec();
    let word = |run: &[u8], at: usize| u64::from_le_bytes(run[at..at + 8].try_into().unwrap_or_default()) as usize;
    if run.len() > PAGE {
        let (start, len) = (word(&run, 144), word(&run, 152));
        if start >= PAGE && start.checked_add(len).is_some_and(|end| end <= run.len()) {
            let mut table: Vec<u8> =
                run[..start].chunks(PAGE).flat_map(|page| crc32fast::hash(page).to_le_bytes()).collect();
            table[..4].fill(0);
            table.resize(len, 0);
            run[start..start + len].copy_from_slice(&table);
            run[160..164].copy_from_slice(&crc32fast::hash(&table).to_le_bytes());
        }
        let header = sealed(&run[..PAGE]);
        run[..PAGE].copy_from_slice(&header);
    }
    run
}

/// The id of the stores that are laid out here.
const STORE: [u8; 16] = *b"fuzzed store id!";
const SALT: u32 = 0x5a17_5a17;

/// A segment that is being put together, the only one of its store.
#[derive(Clone, Debug)]
pub struct Segment {
    pub bytes: Vec<u8>,
    /// The offset and the end of each record, padding included, and the position up to which it testifies.
    pub records: Vec<Record>,
    end: usize,
}

/// A record in a segment.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    pub offset: usize,
    pub end: usize,
    /// The checksum field.
    pub checksum: u32,
    /// It says that everything up to here was durable when it was made.
    pub testifies: u64,
    /// It is the last of its batch.
    pub ends_batch: bool,
}

impl Segment {
    /// An empty one of that size.
    pub fn new(size: usize) -> Segment {
        let mut bytes = vec![0; size];
        bytes[..8].copy_from_slice(b"factseg\0");
        bytes[16..32].copy_from_slice(&STORE);
        bytes[32..40].copy_from_slice(&1u64.to_le_bytes());
        bytes[40..48].copy_from_slice(&(size as u64).to_le_bytes());
        bytes[48..52].copy_from_slice(&SALT.to_le_bytes());
        let header = sealed(&bytes[..PAGE]);
        bytes[..PAGE].copy_from_slice(&header);
        Segment { bytes, records: Vec::new(), end: PAGE }
    }

    /// Adds a batch of events with these payloads, if there is room for it. Its records testify to everything up to the position
    /// so many before its first one, or to nothing.
    pub fn push(&mut self, payloads: &[Vec<u8>], lag: Option<u8>) {
        let room: usize = payloads.iter().map(|payload| (74 + payload.len()).next_multiple_of(8)).sum();
        if payloads.is_empty() || self.end + room > self.bytes.len() {
            return;
        }
        let before = self.records.len() as u64;
        let testifies = lag.map_or(0, |lag| before.saturating_sub(lag.into()));
        for (index, payload) in payloads.iter().enumerate() {
            let position = self.records.len() as u64 + 1;
            let ack_lag = lag.map_or(u32::MAX, |_| (position - testifies) as u32);
            let body = [b"sT", &payload[..]].concat();
            let mut record = vec![0; 32];
            record[4..8].copy_from_slice(&((72 + body.len()) as u32).to_le_bytes());
            record[8..16].copy_from_slice(&position.to_le_bytes());
            record[16..20].copy_from_slice(&ack_lag.to_le_bytes());
            record[20..22].copy_from_slice(&(index as u16).to_le_bytes());
            record[22..24].copy_from_slice(&(payloads.len() as u16).to_le_bytes());
            record[24..28].copy_from_slice(&crc32fast::hash(&body).to_le_bytes());
            record[28..30].copy_from_slice(&40u16.to_le_bytes());
            record[30] = 1;
            record.extend_from_slice(&position.to_le_bytes());
            record.extend_from_slice(&0i64.to_le_bytes());
            record.extend_from_slice(&u128::from(position).to_be_bytes());
            record.extend_from_slice(&[1, 0, 1, 0, 0, 0, 0, 0]);
            let checksum = salted(SALT, &record[4..72]);
            record[..4].copy_from_slice(&checksum.to_le_bytes());
            record.extend_from_slice(&body);
            let (offset, end) = (self.end, self.end + record.len().next_multiple_of(8));
            self.bytes[offset..offset + record.len()].copy_from_slice(&record);
            let ends_batch = index + 1 == payloads.len();
            self.records.push(Record { offset, end, checksum, testifies, ends_batch });
            self.end = end;
        }
    }

    /// The manifest of a store with this segment: everything up to `durable` was on the disk.
    pub fn manifest(&self, durable: usize, clean: bool) -> Vec<u8> {
        let last = durable.checked_sub(1).map(|last| self.records[last]);
        let mut bytes = vec![0; 96];
        bytes[..8].copy_from_slice(b"factman\0");
        bytes[16..32].copy_from_slice(&STORE);
        bytes[32..36].copy_from_slice(&u32::from(clean).to_le_bytes());
        bytes[36..40].copy_from_slice(&1u32.to_le_bytes());
        bytes[40..48].copy_from_slice(&(durable as u64).to_le_bytes());
        bytes[48..56].copy_from_slice(&(last.map_or(PAGE, |last| last.end) as u64).to_le_bytes());
        bytes[56..60].copy_from_slice(&last.map_or(0, |last| last.checksum).to_le_bytes());
        bytes[64..72].copy_from_slice(&1u64.to_le_bytes());
        bytes[72..80].copy_from_slice(&(self.bytes.len() as u64).to_le_bytes());
        sealed(&bytes)
    }
}
