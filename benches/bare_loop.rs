//! The raw limit that one durable append after the other is measured against: as many writes of as many bytes, each
//! followed by `fdatasync`, and nothing else.
//!
//! ```console
//! cargo run --release --example bare_loop -- FILE COUNT BYTES
//! ```
//!
//! It writes as the log does: into a file that was filled with zeros and synced before, and whole pages, those that the
//! bytes of a write touch. The time is that of the loop alone; the file is removed at the end. FILE must lie on the disk in
//! question: a temporary directory is often in memory.

use std::{
    env,
    error::Error,
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, Instant},
};

const PAGE: usize = 4096;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [file, count, bytes] = &arguments[..] else {
        return Err("usage: bare_loop FILE COUNT BYTES".into());
    };
    let (path, count, bytes) = (Path::new(file), count.parse()?, bytes.parse()?);
    let file = File::create_new(path)?;
    let measured = measure(&file, count, bytes);
    fs::remove_file(path)?;
    let seconds = measured?.as_secs_f64();
    println!("{count} writes of {bytes} bytes, each synced: {seconds:.3} s, {:.0} a second", count as f64 / seconds);
    Ok(())
}

fn measure(file: &File, count: usize, bytes: usize) -> Result<Duration, Box<dyn Error>> {
    let length = (count * bytes).next_multiple_of(PAGE);
    let zeros = vec![0; 1 << 20];
    for offset in (0..length).step_by(zeros.len()) {
        file.write_all_at(&zeros[..zeros.len().min(length - offset)], offset as u64)?;
    }
    file.sync_all()?;

    let content = vec![7; bytes.next_multiple_of(PAGE) + PAGE];
    let started = Instant::now();
    for number in 0..count {
        let first = number * bytes / PAGE * PAGE;
        let end = ((number + 1) * bytes).next_multiple_of(PAGE);
        file.write_all_at(&content[..end - first], first as u64)?;
        file.sync_data()?;
    }
    Ok(started.elapsed())
}
