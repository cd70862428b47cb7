//! From bytes to frames, within the budgets and the time limits.

use std::{
    future::poll_fn,
    io,
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::{Instant, Sleep, sleep, timeout},
};

use super::budget::{Budgets, Held};
use crate::{
    error::Error,
    protocol::{Received, Taken, take},
};

/// Where frames come from.
pub(super) type Source = Box<dyn AsyncRead + Send + Unpin>;

/// A buffer that is read into when nothing is known of what comes: all that an idle connection needs.
const LEAST_BUFFER: usize = 4 << 10;

/// A buffer of a connection that sends much. For a longer frame all of its bytes must be in the budget before more of it is read: whoever has some
/// of what they need never waits for somebody else who does.
pub(super) const MOST_BUFFER: usize = 64 << 10;

/// Why no more frames come.
#[derive(Debug)]
pub(super) enum Ended {
    /// The other side has closed the connection, between two frames.
    Closed,
    /// It did so within a frame, or the connection broke.
    Broken(io::Error),
    /// Bytes that are no frames.
    Malformed(Error),
    /// Nothing was said for too long.
    Idle,
    /// One frame took too long.
    Slow,
}

/// The frames of a connection.
pub(super) struct FrameReader {
    source: Source,
    buffer: BytesMut,
    /// How much is read at once.
    step: usize,
    /// Held for the large frame whose beginning is in the buffer.
    large: Option<Held>,
    /// Rings when the client may have said nothing for too long. It is set anew when it has rung: what comes needs no clock to be wound.
    alarm: Pin<Box<Sleep>>,
}

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) idle: Duration,
    pub(super) frame: Duration,
}

impl FrameReader {
    pub(super) fn new(source: Source) -> FrameReader {
        let buffer = BytesMut::new();
        let alarm = Box::pin(sleep(Duration::ZERO));
        FrameReader { source, buffer, step: LEAST_BUFFER, large: None, alarm }
    }

    /// The next frame, and the part of the budget that its bytes take. Waits until there is enough of it.
    pub(super) async fn next(
        &mut self,
        limit: usize,
        budgets: &Budgets,
        patience: Patience,
    ) -> Result<(Received, Held), Ended> {
        let mut begun = None;
        loop {
            match take(&mut self.buffer, limit).map_err(Ended::Malformed)? {
                Taken::Frame(frame) => {
                    let held = match self.large.take() {
                        Some(held) => held,
                        None => budgets.hold(frame.body.len()).await,
                    };
                    return Ok((frame, held));
                }
                Taken::Missing(missing) => {
                    if self.make_room(missing, budgets).await {
                        // The time that it took is not the client's.
                        begun = None;
                    }
                    let left = if self.buffer.is_empty() {
                        patience.idle
                    } else {
                        let begun = *begun.get_or_insert_with(Instant::now);
                        patience.frame.saturating_sub(begun.elapsed())
                    };
                    self.read(left).await?;
                }
            }
        }
    }

    /// Makes room for what comes next. `true` when it waited for the budget.
    async fn make_room(&mut self, missing: usize, budgets: &Budgets) -> bool {
        let whole = self.buffer.len() + missing;
        if whole <= MOST_BUFFER {
            self.buffer.reserve(missing.max(self.step));
            return false;
        }
        // A length alone takes nothing of the budget.
        let left = MOST_BUFFER.saturating_sub(self.buffer.len());
        if left > 0 {
            self.buffer.reserve(left);
            return false;
        }
        let waits = self.large.is_none();
        if waits {
            self.large = Some(budgets.hold(whole).await);
        }
        self.buffer.reserve(missing.min(MOST_BUFFER));
        waits
    }

    async fn read(&mut self, patience: Duration) -> Result<(), Ended> {
        let begun = !self.buffer.is_empty();
        let room = self.buffer.capacity() - self.buffer.len();
        let Some(read) = self.read_within(patience).await else {
            return Err(if begun { Ended::Slow } else { Ended::Idle });
        };
        match read {
            Ok(0) if begun => Err(Ended::Broken(io::ErrorKind::UnexpectedEof.into())),
            Ok(0) => Err(Ended::Closed),
            Ok(read) => {
                self.step = if read == room {
                    (self.step * 4).min(MOST_BUFFER)
                } else if read < self.step / 4 {
                    (self.step / 2).max(LEAST_BUFFER)
                } else {
                    self.step
                };
                Ok(())
            }
            Err(error) => Err(Ended::Broken(error)),
        }
    }

    /// Reads what comes; `None` when nothing has come for so long.
    async fn read_within(&mut self, patience: Duration) -> Option<io::Result<usize>> {
        let FrameReader { source, buffer, alarm, .. } = self;
        let mut reading = pin!(source.read_buf(buffer));
        let mut deadline = None;
        poll_fn(|context| {
            if let Poll::Ready(read) = reading.as_mut().poll(context) {
                return Poll::Ready(Some(read));
            }
            let deadline = *deadline.get_or_insert_with(|| Instant::now().checked_add(patience));
            let Some(deadline) = deadline else { return Poll::Pending };
            if deadline < alarm.deadline() {
                alarm.as_mut().reset(deadline);
            }
            while alarm.as_mut().poll(context).is_ready() {
                if alarm.deadline() >= deadline {
                    return Poll::Ready(None);
                }
                alarm.as_mut().reset(deadline);
            }
            Poll::Pending
        })
        .await
    }

    /// Exactly the first bytes of a connection.
    pub(super) async fn first(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.source.read_exact(bytes).await.map(drop)
    }

    /// Reads what the other side had sent already, so that closing does not make the system throw away our last words.
    pub(super) async fn linger(&mut self) {
        const LONGEST: Duration = Duration::from_secs(1);
        const MOST: usize = 1 << 20;
        let mut left = MOST;
        let drain = async {
            // Not on the stack: that of every connection would have it for as long as it lives.
            let mut discarded = vec![0; 4 << 10];
            while let Ok(read @ 1..) = self.source.read(&mut discarded).await {
                left = left.saturating_sub(read);
                if left == 0 {
                    break;
                }
            }
        };
        let _ = timeout(LONGEST, drain).await;
    }
}
