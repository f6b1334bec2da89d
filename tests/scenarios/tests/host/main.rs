//! The host's own tables: attaching them, their indexes, and code in them that hangs or raises.

mod attach;
mod attach_privileges;
mod attach_table_kinds;
mod hanging_host_code;
mod indexes;
