//! Shared memory and the hooks that write to it. Loaded through `shared_preload_libraries` only; without it everything here
//! does nothing and says so. Main thread of any process.
//!
//! | file | what is in it |
//! |---|---|
//! | `memory.rs` | layout and lock |
//! | `slots.rs` | which worker serves which database |
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

/// Asks for shared memory and watches CREATE, ALTER and DROP EXTENSION. From `_PG_init` in the postmaster.
pub fn init() {
    memory::init();
    extension_hook::init();
}
