//! The rows of a row trigger, read as text by the column names in the trigger's arguments. Called by `pg::trigger`; main thread
//! only.

use std::ffi::CStr;

use pgrx::pg_sys;
use pgrx::trigger_support::PgTrigger;

/// The rows that a row trigger sees.
pub struct TriggerRow<'a> {
    data: &'a pg_sys::TriggerData,
    trigger: &'a pg_sys::Trigger,
}

impl<'a> TriggerRow<'a> {
    /// `None` in a statement trigger.
    pub fn of(trigger: &PgTrigger<'a>) -> Option<Self> {
        let (data, definition) = (trigger.trigger_data(), trigger.trigger());
        (!data.tg_trigtuple.is_null()).then_some(Self { data, trigger: definition })
    }

    /// The row was inserted.
    pub fn is_inserted(&self) -> bool {
        self.is(pg_sys::TRIGGER_EVENT_INSERT)
    }

    /// The row was deleted; its new values are its last ones.
    pub fn is_deleted(&self) -> bool {
        self.is(pg_sys::TRIGGER_EVENT_DELETE)
    }

    fn is(&self, event: u32) -> bool {
        self.data.tg_event & pg_sys::TRIGGER_EVENT_OPMASK == event
    }

    /// The new row's value of the column that the trigger's argument names.
    pub fn new_value(&self, argument: usize) -> Option<String> {
        let updated = !self.data.tg_newtuple.is_null();
        self.value(if updated { self.data.tg_newtuple } else { self.data.tg_trigtuple }, argument)
    }

    /// The old row's value of that column; `None` for INSERT and DELETE.
    pub fn old_value(&self, argument: usize) -> Option<String> {
        let updated = !self.data.tg_newtuple.is_null();
        if updated { self.value(self.data.tg_trigtuple, argument) } else { None }
    }

    fn value(&self, tuple: pg_sys::HeapTuple, argument: usize) -> Option<String> {
        if argument >= usize::try_from(self.trigger.tgnargs).unwrap_or_default() {
            return None;
        }
        // SAFETY: the server hands the trigger its arguments, relation and rows, all valid during the call; the text is
        // palloc'd in the trigger's context, copied, and freed so that a large statement stays flat.
        unsafe {
            let name = *self.trigger.tgargs.add(argument);
            let shape = (*self.data.tg_relation).rd_att;
            let column = pg_sys::SPI_fnumber(shape, name);
            if column <= 0 {
                return None;
            }
            let text = pg_sys::SPI_getvalue(tuple, shape, column);
            if text.is_null() {
                return None;
            }
            let owned = CStr::from_ptr(text).to_string_lossy().into_owned();
            pg_sys::pfree(text.cast());
            Some(owned)
        }
    }
}
