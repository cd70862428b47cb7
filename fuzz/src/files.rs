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
