//! Shared memory and the hooks that write to it. Needs `shared_preload_libraries`; without it every function here does nothing
//! and returns that. Main thread of any process.
//!
//! | file | contents |
//! |---|---|
//! | `memory.rs` | layout and lock |
//! | `slots.rs` | the worker of each database |
//! | `commit_hook.rs` | a commit wakes the worker |
//! | `extension_hook.rs` | CREATE, ALTER and DROP EXTENSION wake the launcher |
//! | `mailbox.rs` | questions to the worker and their answers |
//! | `host_code.rs` | the host's code that each worker runs |

mod commit_hook;
mod extension_hook;
mod host_code;
mod mailbox;
mod memory;
mod slots;

pub use commit_hook::{recheck_at_commit, wake_at_commit};
pub use extension_hook::caller_search_path;
pub use host_code::*;
pub use mailbox::*;
pub use memory::{Slot, is_preloaded};
pub use slots::*;

/// Requests shared memory and installs the hook for CREATE, ALTER and DROP EXTENSION. Called by `_PG_init` in the postmaster.
pub fn init() {
    memory::init();
    extension_hook::init();
}
