//! Fail points: named places at which a test ends the process or lets a call fail.
//!
//! They exist in builds with the feature `failpoints` of the crate `fail`, which only the tests of `server` turn
//! on; in any other build nothing is left of them. The server's binary takes their actions from the variable
//! `FAILPOINTS`: `checkpoint::redo_synced=2*off->1*return` ends the process the third time it comes there. They lie
//! here because this is the lowest crate that touches a disk.
//!
//! | name | where | what `return` does |
//! |---|---|---|
//! | `segment::sync`, `segment::sync::<log>` | before the fsync of any segment file, or of the log whose directory has that name | fails it; `return(kill)` ends the process |
//! | `projector::read` | before the projector reads its next records | ends the process |
//! | `projector::activations_durable` | activations are durable, the checkpoint is not begun | ends the process |
//! | `checkpoint::redo_synced` | the redo record is durable, nothing of it applied | ends the process |
//! | `checkpoint::batch_applied` | one of the batches is applied | ends the process |
//! | `checkpoint::store_applied` | all is applied and durable, the redo record is still there | ends the process |
//! | `checkpoint::redo_dropped` | the redo record is gone | ends the process |
//! | `rebuild::filled` | a rebuild has put everything into its new generation, nothing of that is durable | ends the process |
//! | `rebuild::durable` | the new generation is durable, its changes are not announced and the old one is in use | ends the process |
//! | `rebuild::switched` | the new generation is in use, the process has the old one open still | ends the process |
//! | `clock::now` | the server asks for the time | `return(SECONDS)` moves it by so many seconds |
//! | `recovery::store_applied` | a start has applied what was left, the redo record is still there | ends the process |

use rustix::process::{Signal, getpid, kill_process};
use std::io;

/// Ends the process here, if a test asks for it.
pub fn crash_point(name: &'static str) {
    // Nothing else uses the name where there are no fail points.
    let _ = name;
    fail::fail_point!(name, |_| end_process());
}

/// What an fsync answers in which a test steps in.
///
/// # Errors
/// Always, unless the process is ended.
pub fn failed_sync(action: Option<String>) -> io::Result<()> {
    match action.as_deref() {
        Some("kill") => end_process(),
        _ => Err(io::Error::other("a fail point let this fsync fail")),
    }
}

/// Ends the process as `kill -9` does: nothing is dropped, flushed or told to anybody.
pub fn end_process() -> ! {
    // A process that sends itself SIGKILL does not come back from the call.
    let _ = kill_process(getpid(), Signal::KILL);
    std::process::abort()
}
