//! Learning-rate schedules: one file each, one entry each in [`SCHEDULES`].

mod constant;
mod cosine;

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::suggestion;

/// A schedule.
pub struct ScheduleEntry {
    /// The name in scripts, plans and tables.
    pub name: &'static str,
    /// What it is, in a few words.
    pub doc: &'static str,
    /// The learning rate of the next update, in units of the initial one.
    pub factor: fn(Progress) -> f64,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Updates done.
    pub done: u64,
    /// Updates of the whole run.
    pub total: u64,
}

/// Every schedule.
pub const SCHEDULES: &[&ScheduleEntry] = &[&constant::ENTRY, &cosine::ENTRY];

const N: usize = SCHEDULES.len();

/// Every schedule's name and meaning, as an option has its choices.
pub const SCHEDULE_CHOICES: [(&str, &str); N] = {
    let mut choices = [("", ""); N];
    let mut index = 0;
    while index < N {
        choices[index] = (SCHEDULES[index].name, SCHEDULES[index].doc);
        index += 1;
    }
    choices
};

/// How the learning rate changes while training: a schedule of the list, which plans store by its
/// name.
#[derive(Clone, Copy)]
pub struct Schedule(&'static ScheduleEntry);

impl Schedule {
    /// The learning rate stays.
    pub const CONSTANT: Self = Self(&constant::ENTRY);
    /// A quarter of a cosine.
    pub const COSINE: Self = Self(&cosine::ENTRY);

    /// Every schedule by its name.
    pub fn all() -> Vec<(&'static str, Self)> {
        SCHEDULES.iter().map(|entry| (entry.name, Self(entry))).collect()
    }

    /// The name in scripts and tables.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// The learning rate of the update after `done` of `total`, in units of the initial one.
    pub fn factor(self, done: u64, total: u64) -> f64 {
        (self.0.factor)(Progress { done, total })
    }
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        to.write_str(self.name())
    }
}

impl Serialize for Schedule {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Schedule {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = String::deserialize(from)?;
        SCHEDULES.iter().find(|entry| entry.name == name).map(|entry| Self(entry)).ok_or_else(|| {
            let near = suggestion(&name, SCHEDULES.iter().map(|entry| entry.name));
            de::Error::custom(format!("no schedule \"{name}\"; {near}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_begin_at_the_initial_learning_rate_and_are_stored_by_name() {
        for (name, schedule) in Schedule::all() {
            assert_eq!(schedule.factor(0, 90), 1.0, "{name}");
            assert!((0..=90).all(|done| schedule.factor(done, 90).is_finite()), "{name}");
            let json = serde_json::to_string(&schedule).unwrap();
            assert_eq!(json, format!("\"{name}\""));
            assert_eq!(serde_json::from_str::<Schedule>(&json).unwrap(), schedule);
        }
        let error = serde_json::from_str::<Schedule>("\"cosin\"").unwrap_err().to_string();
        assert!(error.contains("no schedule \"cosin\"; did you mean `cosine`?"), "{error}");
    }
}
