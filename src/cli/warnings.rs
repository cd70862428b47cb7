//! What the library warns of, on standard error: events that were passed over, snapshots that could not be used.
//!
//! What a command ends with it says itself.

use std::fmt;

use tracing::{Event, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    filter::Targets,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

/// Prints warnings from now on.
pub fn print() {
    // The bus warns of each command that failed: that is what this command ends with.
    let targets =
        Targets::new().with_target("factlog", LevelFilter::WARN).with_target("factlog::model::bus", LevelFilter::OFF);
    let lines = tracing_subscriber::fmt::layer().event_format(Line).with_writer(std::io::stderr);
    // Whoever was first goes on.
    let _ = tracing_subscriber::registry().with(targets).with(lines).try_init();
}

/// As everything else that the command says.
struct Line;

impl<S: Subscriber + for<'a> LookupSpan<'a>, N: for<'a> FormatFields<'a> + 'static> FormatEvent<S, N> for Line {
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        write!(writer, "factlog: warning: ")?;
        context.field_format().format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}
