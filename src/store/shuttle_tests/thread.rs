//! A thread of the disk in memory. The time for which it wants to sleep may be over at any moment.

use std::{fmt, io, sync::Arc, time::Duration};

use parking_lot::Mutex;
use shuttle::thread;

use super::disk::{ModelDisk, chance};
use crate::{
    disk::{DiskThread, Step},
    sync::{Condvar as Signalled, Mutex as Met},
};

#[derive(Default)]
struct Asked {
    asked: bool,
    ended: bool,
}

pub(super) struct ModelThread {
    asked: Arc<(Met<Asked>, Signalled)>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

fn serve(asked: &(Met<Asked>, Signalled), mut step: Step, disk: &ModelDisk) {
    let (state, changed) = asked;
    let mut again: Option<Duration> = None;
    loop {
        let mut asked = state.lock();
        while !asked.asked {
            if asked.ended {
                return;
            }
            let Some(after) = again else {
                changed.wait(&mut asked);
                continue;
            };
            // The time may be over at any moment.
            drop(asked);
            thread::yield_now();
            asked = state.lock();
            if chance(2) {
                disk.pass(after);
                break;
            }
        }
        asked.asked = false;
        drop(asked);
        again = step();
    }
}

impl ModelThread {
    /// Starts it; it sleeps until it is asked.
    pub(super) fn start(name: &str, step: Step, disk: &ModelDisk) -> io::Result<ModelThread> {
        let asked = Arc::new((Met::new(Asked::default()), Signalled::new()));
        let (serving, disk) = (asked.clone(), disk.clone());
        let builder = thread::Builder::new().name(name.to_owned());
        let thread = builder.spawn(move || serve(&serving, step, &disk))?;
        Ok(ModelThread { asked, thread: Mutex::new(Some(thread)) })
    }
}

impl DiskThread for ModelThread {
    fn ask(&self) {
        self.asked.0.lock().asked = true;
        self.asked.1.notify_all();
    }

    fn join(&self) -> bool {
        self.asked.0.lock().ended = true;
        self.asked.1.notify_all();
        let thread = self.thread.lock().take();
        thread.is_none_or(|thread| thread.join().is_ok())
    }
}

/// Nobody asks any more.
impl Drop for ModelThread {
    fn drop(&mut self) {
        self.asked.0.lock().ended = true;
        self.asked.1.notify_all();
    }
}

impl fmt::Debug for ModelThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ModelThread")
    }
}
