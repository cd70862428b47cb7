//! `factlog import`: the lines of `read` into a store, with their ids, times and order.
//!
//! Whatever line an import stops at, the lines before it are in the store, durably, when the command ends; it and those
//! behind it are not. A killed import leaves a beginning of the lines.

use std::{io::BufRead, path::PathBuf};

use clap::Args;

use super::{
    event_line,
    failure::Failure,
    files,
    lines::{Lines, Number},
    load::Loader,
    open,
    output::{count, say},
    place::Place,
    progress::{Progress, Unit},
};

/// Append events as `read` and `export` print them, from a file or from standard input
#[derive(Debug, Args)]
pub struct Import {
    /// The file; standard input when it is left out, or `-`
    file: Option<PathBuf>,
}

impl Import {
    pub fn run(self, place: &Place) -> Result<(), Failure> {
        let input = files::input(self.file.as_deref())?;
        let progress = Progress::new(Unit::Bytes, input.length);
        let mut loader = None;
        let taken = take(&mut Lines::of(input.reader), place, &mut loader, &progress);
        // What stands before a bad line is stored all the same, and what fails of it failed first.
        let done = loader.as_mut().map_or(Ok(()), Loader::finish).and(taken);
        drop(progress);
        say(format_args!("imported {}", count(loader.as_ref().map_or(0, Loader::acknowledged), "event")));
        done?;
        match loader {
            Some(loader) => loader.into_store().close(),
            None => open::for_writing_patiently(place)?.close(),
        }
        Ok(())
    }
}

/// Takes the lines. The store is opened at the first good one, so that input of another kind leaves no store behind.
fn take(
    lines: &mut Lines<impl BufRead>,
    place: &Place,
    loader: &mut Option<Loader<Number>>,
    progress: &Progress,
) -> Result<(), Failure> {
    while let Some((number, line)) = lines.next()? {
        let imported = event_line::parse_printed(line).map_err(|failure| failure.at(number))?;
        // Here, where the line is known, and not when its append is refused as a whole.
        imported.event.check(&imported.stream).map_err(|error| Failure::from(error).at(number))?;
        let loader = match &mut *loader {
            Some(loader) => loader,
            none => none.insert(Loader::into(open::for_writing_patiently(place)?).fresh()),
        };
        loader.push(imported.stream, imported.version, imported.event, number)?;
        progress.set(lines.bytes_read());
    }
    Ok(())
}
