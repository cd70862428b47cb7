//! The same contract over engines that run elsewhere, alone or in clusters.

#[cfg(feature = "jetstream")]
pub mod jetstream;
#[cfg(feature = "postgres")]
pub mod postgres;
