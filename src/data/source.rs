//! Where images come from: an entry of [`SOURCES`], the path of its files where it has any, its
//! options.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::{Archive, Augmentation, Images, SOURCES};
use crate::entries::{self, Stored};
use crate::error::{Error, Result, suggestion};
use crate::options::{Given, Opt};

/// What is known of a source of images.
pub struct SourceEntry {
    /// The name in scripts and plans.
    pub name: &'static str,
    /// What it is, in a few words.
    pub doc: &'static str,
    /// What else help tells; whole sentences, or nothing.
    pub more: &'static str,
    /// Who made it.
    pub origin: &'static str,
    /// The official sizes of the training and the test part, where there are any.
    pub sizes: Option<(usize, usize)>,
    /// How many classes, where that is known; an option `classes` says it, too.
    pub classes: Option<usize>,
    /// Where its images are.
    pub place: Place,
    /// The official files.
    pub archives: &'static [Archive<'static>],
    /// Crops and flips that `augment: true` means.
    pub augmentation: Augmentation,
    /// Its options: the fields of their struct, in their order.
    pub options: &'static [Opt],
    /// A script that uses it; it runs on every machine where the images are in the program.
    pub example: &'static str,
    /// Checks the types of stored options: `typed` of their struct.
    pub typed: fn(Stored) -> Result<Stored>,
    /// What the schema cannot check: options that do not go together.
    pub check: fn(&Source) -> Result<()>,
    /// The files that it is read from, found and, as far as their names, lengths and ends say,
    /// complete.
    pub files: fn(&Source) -> Result<Vec<PathBuf>>,
    /// Reads or makes the images.
    pub load: fn(&Source) -> Result<Images>,
}

/// Where the images of a source are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the program.
    Inside,
    /// In `NAME/` of the data folder, or in a folder that the user names.
    Folder,
    /// Where the user says.
    Anywhere,
}

/// Where images come from.
#[derive(Clone)]
pub struct Source {
    entry: &'static SourceEntry,
    /// Where its files lie, if it has any.
    path: Option<String>,
    options: Stored,
}

/// The options of a source that has none.
#[derive(Serialize, Deserialize)]
struct NoOptions {}

/// Stored options, read into their struct and written again: what is missing is refused, what is
/// none left out.
pub(super) fn typed<T: Serialize + DeserializeOwned>(options: Stored) -> Result<Stored> {
    let options = serde_json::from_value::<T>(options.into());
    options.map(|options| entries::stored(&options)).map_err(|error| Error::invalid(error.to_string()))
}

impl SourceEntry {
    /// Images in the program, without options: what the other entries differ from.
    pub(super) const PLAIN: Self = Self {
        name: "",
        doc: "",
        more: "",
        origin: "",
        sizes: None,
        classes: None,
        place: Place::Inside,
        archives: &[],
        augmentation: Augmentation::None,
        options: &[],
        example: "",
        typed: typed::<NoOptions>,
        check: |_| Ok(()),
        files: |_| Ok(Vec::new()),
        load: |source| Err(Error::invalid(format!("{} has no images", source.entry.name))),
    };

    /// The source with the options that a script gave.
    ///
    /// # Errors
    ///
    /// A path where there are no files, or none where there are; options that do not fit.
    pub fn of_given(&'static self, path: Option<String>, given: &Given) -> Result<Source> {
        let name = self.name;
        match (self.place, &path) {
            (Place::Inside, Some(_)) => return Err(Error::invalid(format!("{name} is read from no files"))),
            (Place::Folder | Place::Anywhere, None) => {
                return Err(Error::invalid(format!("{name}: expected a path")));
            }
            _ => {}
        }
        let options = (self.typed)(entries::of_given(given, self.options)?)
            .map_err(|error| Error::invalid(format!("{name}: {error}")))?;
        let source = Source { entry: self, path, options };
        source.check().map(|()| source)
    }

    /// The source in a folder.
    ///
    /// # Errors
    ///
    /// It is not one that lies in a folder.
    pub fn in_folder(&'static self, folder: &Path) -> Result<Source> {
        if self.place != Place::Folder {
            return Err(Error::invalid(format!("{} does not lie in a folder", self.name)));
        }
        let given = Given::read(self.name, self.options, [])?;
        self.of_given(Some(folder.to_string_lossy().into_owned()), &given)
    }

    /// The source in the data folder.
    ///
    /// # Errors
    ///
    /// It does not lie there whole; the message says how to get it.
    pub fn found(&'static self, data_dir: &Path) -> Result<Source> {
        let name = self.name;
        let folder = data_dir.join(name);
        let source = self.in_folder(&folder)?;
        match source.files() {
            Ok(_) => Ok(source),
            Err(error) if folder.exists() => Err(error),
            Err(_) => Err(Error::invalid(format!(
                "{name}(): there is no {}; fetch it with download(\"{name}\"), or write {name}(path) with the folder that has its files",
                folder.display()
            ))),
        }
    }
}

impl Source {
    /// A source by its name, with the defaults of its options.
    ///
    /// # Errors
    ///
    /// There is none of this name; a path where there are no files, or none where there are.
    pub fn named(name: &str, path: Option<&str>) -> Result<Self> {
        let entry = SOURCES.iter().find(|entry| entry.name == name).ok_or_else(|| {
            let near = suggestion(name, SOURCES.iter().map(|entry| entry.name));
            Error::invalid(format!("no data set \"{name}\"; {near}"))
        })?;
        entry.of_given(path.map(str::to_owned), &Given::read(name, entry.options, [])?)
    }

    /// A source with these options, which are not checked yet.
    pub(super) fn with(entry: &'static SourceEntry, path: Option<String>, options: &impl Serialize) -> Self {
        Self { entry, path, options: entries::stored(options) }
    }

    /// Its entry in [`SOURCES`].
    pub fn entry(&self) -> &'static SourceEntry {
        self.entry
    }

    /// Its options.
    pub(super) fn options<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_value(Value::Object(self.options.clone()))
            .map_err(|error| Error::invalid(format!("{}: {error}", self.entry.name)))
    }

    /// How many classes it has, where that is known without loading it.
    pub(super) fn classes(&self) -> Option<usize> {
        let given = self.options.get("classes").and_then(Value::as_u64);
        given.and_then(|classes| usize::try_from(classes).ok()).or(self.entry.classes)
    }

    /// Where its files lie; empty where it has none.
    pub(super) fn path(&self) -> &str {
        self.path.as_deref().unwrap_or_default()
    }

    /// Where its files lie, if it has any.
    pub(crate) fn path_mut(&mut self) -> Option<&mut String> {
        self.path.as_mut()
    }

    /// Checks the options.
    pub(super) fn check(&self) -> Result<()> {
        entries::check(self.entry.name, self.entry.options, &self.options)?;
        (self.entry.check)(self)
    }

    /// The files that it is read from, found and, as far as their names, lengths and ends say,
    /// complete.
    pub fn files(&self) -> Result<Vec<PathBuf>> {
        (self.entry.files)(self)
    }

    /// Reads or makes the images.
    pub(super) fn load(&self) -> Result<Images> {
        (self.entry.load)(self)
    }
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        (self.entry.name, &self.path, &self.options) == (other.entry.name, &other.path, &other.options)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        to.debug_tuple(self.entry.name).field(&self.path).field(&self.options).finish()
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        let Self { entry, path, options } = self;
        entries::write(to, entry.name, path.as_deref(), entry.options, options)
    }
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        let (entry, mut stored) = entries::read(from, "data set", SOURCES, |entry| entry.name)?;
        let path = match (entry.place, stored.remove("path")) {
            (Place::Inside, _) => None,
            (_, Some(Value::String(path))) => Some(path),
            _ => return Err(D::Error::missing_field("path")),
        };
        let options = (entry.typed)(stored).map_err(D::Error::custom)?;
        Ok(Self { entry, path, options })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The list's names are those that plans store; a schema and its struct name the same options.
    #[test]
    fn every_source_is_stored_by_its_name_and_options() {
        for entry in SOURCES {
            let path = (entry.place != Place::Inside).then_some("/data");
            let source = Source::named(entry.name, path).unwrap();
            let json = serde_json::to_string(&source).unwrap();
            assert!(json.starts_with(&format!("{{\"name\":\"{}\"", entry.name)), "{json}");
            assert_eq!(serde_json::from_str::<Source>(&json).unwrap(), source);
            assert_eq!(source.options.len(), entry.options.len(), "{json}");
            assert_eq!(source.path.is_some(), json.contains("\"path\":\"/data\""), "{json}");
        }
        assert!(Source::named("digits", Some("/data")).is_err() && Source::named("mnist", None).is_err());
    }

    #[test]
    fn stored_sources_are_checked_as_a_scripts_are() {
        let synthetic = |n: &str, noise: &str| {
            format!(r#"{{"name":"synthetic","n":{n},"classes":2,"shape":[1,2,2],"noise":{noise},"seed":1}}"#)
        };
        for (json, said) in [
            (synthetic("0", "1.0"), "n: expected an integer ≥ 1, found the integer 0"),
            (synthetic("18446744073709551615", "1.0"), "n: expected an integer ≥ 1, found the number"),
            (synthetic("9223372036854775807", "1.0"), "expected at least one image and class, at most"),
            (synthetic("5", "-1"), "noise: expected a number ≥ 0"),
        ] {
            let source: Source = serde_json::from_str(&json).unwrap();
            let error = source.check().unwrap_err().to_string();
            assert!(error.contains(said), "{json}: {error}");
        }
        for (json, said) in [
            (r#"{"name":"cifar11","path":""}"#, "no data set \"cifar11\"; did you mean `cifar10`?"),
            (r#"{"name":"cifar10"}"#, "missing field `path`"),
            (r#"{"name":"cifar10","path":3}"#, "missing field `path`"),
            (r#"{"name":"synthetic","n":5}"#, "missing field"),
            (r#"{"name":"images","path":"x","image":5,"label":null}"#, "invalid type"),
            (r#"{"path":"x"}"#, "missing field `name`"),
            (r#""digits""#, "invalid type"),
        ] {
            let error = serde_json::from_str::<Source>(json).unwrap_err().to_string();
            assert!(error.contains(said), "{json}: {error}");
        }
    }
}
