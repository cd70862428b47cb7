//! What the commands of the sample domains share: when something happened, which page, and the events of an aggregate.

use clap::Args;
use factlog::model::{Aggregate, BusinessTime, Page};

use super::{event_line, failure::Failure, open, output::Output, place::Place};

#[derive(Debug, Args)]
pub struct Time {
    /// When it happened (RFC 3339) [default: now]
    #[arg(long = "at", value_name = "TIME")]
    pub at: Option<BusinessTime>,
}

#[derive(Debug, Args)]
pub struct Paging {
    /// Which page, from 1
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true)]
    page: i64,

    /// How many on a page
    #[arg(long, value_name = "N", default_value_t = 10, allow_negative_numbers = true)]
    limit: i64,
}

impl Paging {
    pub fn page(&self) -> Result<Page, Failure> {
        Page::new(self.page, self.limit).map_err(|error| Failure::BadInput(error.to_string()))
    }
}

/// Prints the events of an aggregate; nothing when there is none with this id.
pub fn history<A: Aggregate>(id: &str, place: &Place, out: &mut Output) -> Result<(), Failure> {
    let stream = A::stream(id)?;
    let store = open::for_reading(place)?;
    for event in store.read_stream((&stream).into()) {
        event_line::print(&event?, out)?;
    }
    Ok(())
}
