//! `factlog export`: the whole log as the lines of `read`.

use std::path::PathBuf;

use clap::Args;
use factlog::{Position, ReadAll};

use super::{
    event_line,
    failure::Failure,
    files, open,
    output::Output,
    place::Place,
    progress::{Progress, Unit},
    read::past_lost,
};

/// Write the whole log as the lines that `read` prints, to a file or to standard output
#[derive(Debug, Args)]
pub struct Export {
    /// The file; one that is there is replaced. Standard output when it is left out, or `-`
    file: Option<PathBuf>,

    /// Go on behind events that are lost, and say so on standard error, instead of ending there
    #[arg(long)]
    skip_lost: bool,
}

impl Export {
    pub fn run(self, store: &Place, out: &mut Output) -> Result<(), Failure> {
        let store = open::for_reading(store)?;
        let progress = Progress::new(Unit::Things("events"), Some(store.last_position()?.get()));
        let write = |out: &mut Output| {
            for event in store.read_all(ReadAll::after(Position::START)) {
                if let Some(event) = past_lost(event, self.skip_lost)? {
                    event_line::print(&event, out)?;
                    progress.add(1);
                }
            }
            Ok(())
        };
        if files::is_standard(self.file.as_deref()) {
            return write(out);
        }
        let path = self.file.unwrap_or_default();
        let file = files::create(&path)?;
        let mut lines = Output::to(file.clone());
        write(&mut lines).and_then(|()| lines.flush()).map_err(|failure| failure.at(path.display()))?;
        // Whoever deletes the store because its export is done must find the export after a power cut.
        files::sync(&file, &path)
    }
}
