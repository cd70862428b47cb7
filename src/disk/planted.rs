//! Bugs that can be switched on, to show that the tests would find them. In a normal build there is nothing of them.

/// A bug that stores like this one have had.
#[cfg(feature = "sim")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// An append is acknowledged when it is written.
    AcknowledgeBeforeSync,
    /// A new segment's name is not made durable.
    SkipDirectorySync,
    /// A file that was replaced as a whole does not get its name durably.
    SkipDirectorySyncOfFile,
    /// A sync that failed is called again, and its word is taken.
    RetryFailedSync,
    /// Whatever lies behind the first bad record is taken for a torn tail.
    TruncateAtFirstBadRecord,
    /// A cursor is saved before what it stands behind is durable.
    CursorAhead,
    /// A snapshot is saved before its last event is durable.
    SnapshotAhead,
    /// No checksum knows how long a record is.
    LengthOutOfChecksum,
    /// Those whose append is durable are woken before that can be seen.
    PublishAfterWaking,
    /// Those who follow are woken before there is anything to see.
    TellFollowersBeforePublishing,
    /// After an error one of those who wait is not woken.
    ForgetWaiterAfterError,
    /// Whoever has written does not say that the next batch waits for nobody but the committer.
    ForgetWantedBatch,
    /// Whoever began a segment does not say that the log goes on.
    LeaveThemHeld,
    /// Whoever held the log still does not say that it goes on.
    LeaveThemHeldStill,
    /// Tasks that wait for room in the buffer are not woken when it has been written.
    ForgetThoseWhoWaitForRoom,
    /// A task that was woken does not look whether it must register anew.
    SleepWithoutLooking,
    /// An append is refused for what is not durable yet.
    RefuseBeforeDurable,
}

#[cfg(feature = "sim")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// From now on this thread's operations have the bug, and no other.
#[cfg(feature = "sim")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

#[cfg(feature = "sim")]
/// Whether it is switched on.
pub fn is_planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Whether a bug is switched on: `false` in a normal build.
macro_rules! planted {
    ($bug:ident) => {{
        #[cfg(feature = "sim")]
        let planted = $crate::disk::is_planted($crate::disk::Bug::$bug);
        #[cfg(not(feature = "sim"))]
        let planted = false;
        planted
    }};
}

pub(crate) use planted;
