//! The learning rate stays.

use super::ScheduleEntry;

pub(super) const ENTRY: ScheduleEntry = ScheduleEntry { name: "constant", doc: "λ", factor: |_| 1.0 };
