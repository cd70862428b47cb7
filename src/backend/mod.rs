//! The same contract over engines that run elsewhere, alone or in clusters.
