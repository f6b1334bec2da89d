//! Analyzes a query without running it. Called by `pg::host::bookings`; main thread only, inside a transaction.

use std::ffi::CString;

use pgrx::pg_sys;

/// The columns that a SELECT reads of its first table, by number; 0 is the whole row. The query is analyzed and planned, not run.
/// `None` if it is not one SELECT on a table.
pub fn columns_read(sql: &str) -> Option<Vec<i16>> {
    let text = CString::new(sql).ok()?;
    // SAFETY: inside a transaction with a snapshot, main thread; the text outlives the trees, which are allocated in the current
    // memory context; errors are the server's.
    unsafe {
        let statement =
            only::<pg_sys::RawStmt>(pg_sys::raw_parser(text.as_ptr(), pg_sys::RawParseMode::RAW_PARSE_DEFAULT))?;
        let (types, none) = (std::ptr::null(), std::ptr::null_mut());
        let query = only::<pg_sys::Query>(pg_sys::pg_analyze_and_rewrite_fixedparams(
            statement,
            text.as_ptr(),
            types,
            0,
            none,
        ))?;
        let is_select = (*query).commandType == pg_sys::CmdType::CMD_SELECT;
        let table = members::<pg_sys::RangeTblEntry>((*query).rtable).first().map(|first| (**first).relid);
        let table = table.filter(|table| is_select && *table != pg_sys::InvalidOid)?;
        let plan = pg_sys::pg_plan_query(query, text.as_ptr(), 0, std::ptr::null_mut());
        let mut read = Vec::new();
        for entry in members::<pg_sys::RangeTblEntry>((*plan).rtable) {
            let mut member = -1;
            while (*entry).relid == table && member != -2 {
                member = pg_sys::bms_next_member((*entry).selectedCols, member);
                read.extend((member >= 0).then_some(member + pg_sys::FirstLowInvalidHeapAttributeNumber));
            }
        }
        Some(read.into_iter().filter_map(|number| i16::try_from(number).ok()).collect())
    }
}

/// The only member of a list.
unsafe fn only<T>(list: *mut pg_sys::List) -> Option<*mut T> {
    // SAFETY: the caller names the type of the members.
    let members = unsafe { members(list) };
    (members.len() == 1).then(|| members.first().copied()).flatten()
}

unsafe fn members<T>(list: *mut pg_sys::List) -> Vec<*mut T> {
    // SAFETY: a list of pointers, as the server made it; the caller names the type of the members.
    unsafe {
        let Some(list) = list.as_ref() else { return Vec::new() };
        let places = 0..usize::try_from(list.length).unwrap_or_default();
        places.map(|place| (*list.elements.add(place)).ptr_value.cast()).collect()
    }
}
