//! Data sets: fetched from a server of the test's own, found in the data folder, and listed.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kelvin::data::{Archive, Member, Patience, Unpack, fetch};
use sha2::{Digest, Sha256};

use crate::support::{Lab, assert_soon};

/// What the server does with a request.
enum Reply {
    /// Sends these bytes, and closes the connection.
    Send(Vec<u8>),
    /// Sends these bytes, and nothing more.
    Hang(Vec<u8>),
}

/// A server of one file that answers the n-th request, with the first byte asked for, as it is
/// told.
struct Server {
    address: String,
    /// The first byte that each request asked for; none: the whole file.
    requests: Arc<Mutex<Vec<Option<u64>>>>,
}

impl Server {
    fn new(answer: impl Fn(usize, Option<u64>) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/files/archive.tar.gz", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let asked = Arc::clone(&requests);
        // It ends with the tests.
        std::thread::spawn(move || {
            let mut hanging = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let Some(range) = request(&stream) else { continue };
                let number = {
                    let mut asked = asked.lock().unwrap();
                    asked.push(range);
                    asked.len() - 1
                };
                // Whoever has enough closes the connection.
                match answer(number, range) {
                    Reply::Send(bytes) => drop(stream.write_all(&bytes)),
                    Reply::Hang(bytes) => {
                        let _ = stream.write_all(&bytes);
                        hanging.push(stream);
                    }
                }
            }
        });
        Self { address, requests }
    }

    /// A server that knows ranges.
    fn sound(file: Vec<u8>) -> Self {
        Self::new(move |_, range| Reply::Send(answer(&file, range)))
    }

    fn requests(&self) -> Vec<Option<u64>> {
        self.requests.lock().unwrap().clone()
    }
}

/// The first byte that a request asks for.
fn request(stream: &TcpStream) -> Option<Option<u64>> {
    let mut range = None;
    for line in BufReader::new(stream).lines() {
        let line = line.ok()?.to_lowercase();
        if line.is_empty() {
            return Some(range);
        }
        if let Some(first) = line.strip_prefix("range: bytes=") {
            range = Some(first.trim_end_matches('-').parse().unwrap());
        }
    }
    None
}

/// A file, or the end of it.
fn answer(file: &[u8], range: Option<u64>) -> Vec<u8> {
    let first = range.unwrap_or(0) as usize;
    let status = match range {
        Some(first) => {
            format!("206 Partial Content\r\nContent-Range: bytes {first}-{}/{}", file.len() - 1, file.len())
        }
        None => "200 OK".to_owned(),
    };
    let mut bytes =
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", file.len() - first)
            .into_bytes();
    bytes.extend(&file[first..]);
    bytes
}

fn status(status: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").into_bytes()
}

/// An answer without its last bytes.
fn cut(mut answer: Vec<u8>, lacking: usize) -> Vec<u8> {
    answer.truncate(answer.len() - lacking);
    answer
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// One entry of a tar archive, with a name that a careful writer would refuse.
fn entry(name: &str, kind: tar::EntryType, link: &str, content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn file(name: &str, content: &[u8]) -> Vec<u8> {
    entry(name, tar::EntryType::Regular, "", content)
}

/// Bytes that do not pack.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 7u64;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..length).map(next).collect()
}

const LENGTH: usize = 300_000;

const MEMBERS: [Member; 2] =
    [Member { name: "one.bin", bytes: LENGTH as u64 }, Member { name: "two.bin", bytes: 3 }];

/// A gzipped tar archive of these entries.
fn tarred(entries: &[Vec<u8>]) -> Vec<u8> {
    gzip(&[entries.concat(), vec![0; 1024]].concat())
}

/// The archive that [`Place::fetch`] expects, with a folder and a read-me as official ones have.
fn sound() -> Vec<u8> {
    tarred(&[
        entry("set/", tar::EntryType::Directory, "", b""),
        file("set/readme.html", b"hello"),
        file("set/one.bin", &noise(LENGTH)),
        file("./set/two.bin", b"two"),
    ])
}

/// A data folder.
struct Place {
    folder: tempfile::TempDir,
    /// How long a server may be silent.
    silence: Duration,
    told: Vec<String>,
}

impl Place {
    fn new() -> Self {
        // No server here takes its time, but a busy machine may.
        let silence = Duration::from_secs(20);
        Self { folder: tempfile::tempdir().unwrap(), silence, told: Vec::new() }
    }

    fn target(&self) -> PathBuf {
        self.folder.path().join("set")
    }

    fn part(&self) -> PathBuf {
        self.folder.path().join("set.download/archive.tar.gz.part")
    }

    /// Fetches an archive that is to be this file, and says what went wrong.
    fn fetch(&mut self, server: &Server, expected: &[u8], retries: u32) -> Result<(), String> {
        let sha256: String = Sha256::digest(expected).iter().map(|byte| format!("{byte:02x}")).collect();
        let archive = Archive {
            address: &server.address,
            sha256: &sha256,
            bytes: expected.len() as u64,
            unpack: Some(Unpack { folder: "set", members: &MEMBERS }),
        };
        self.fetch_all(&[archive], retries)
    }

    fn fetch_all(&mut self, archives: &[Archive], retries: u32) -> Result<(), String> {
        let patience = Patience { silence: self.silence, retries, pause: Duration::from_millis(5) };
        let complete = |folder: &Path| folder.join("two.bin").exists();
        let told = &mut self.told;
        fetch(archives, &self.folder.path().join("set"), &complete, &patience, &mut |text| {
            told.push(text.to_owned());
        })
        .map_err(|error| error.to_string())
    }

    /// The data folder holds the whole data set, and nothing else.
    fn is_complete(&self) {
        assert_eq!(names(self.folder.path()), ["set"]);
        assert_eq!(names(&self.target()), ["one.bin", "two.bin"]);
        assert_eq!(fs::read(self.target().join("one.bin")).unwrap(), noise(LENGTH));
        assert_eq!(fs::read(self.target().join("two.bin")).unwrap(), b"two");
    }

    /// The data folder is as if nothing had been asked for.
    fn is_empty(&self) {
        assert_eq!(names(self.folder.path()), Vec::<String>::new());
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn an_archive_is_fetched_once() {
    let (mut place, server) = (Place::new(), Server::sound(sound()));
    place.fetch(&server, &sound(), 0).unwrap();
    place.is_complete();
    assert!(place.told[0].starts_with("fetching http://127.0.0.1:"), "{:?}", place.told);
    place.fetch(&server, &sound(), 0).unwrap();
    assert_eq!(server.requests(), [None]);
}

#[test]
fn a_broken_connection_goes_on_where_it_broke() {
    const LACKING: usize = 200_000;
    let whole = sound();
    let reached = (whole.len() - LACKING) as u64;
    let file = whole.clone();
    let server = Server::new(move |number, range| {
        let answer = answer(&file, range);
        Reply::Send(if number == 0 { cut(answer, LACKING) } else { answer })
    });
    let mut place = Place::new();
    place.fetch(&server, &whole, 1).unwrap();
    place.is_complete();
    // Nothing was asked for twice.
    assert_eq!(server.requests(), [None, Some(reached)]);

    // The same in two calls.
    let file = whole.clone();
    let server = Server::new(move |number, range| {
        Reply::Send(match number {
            0 => cut(answer(&file, range), LACKING),
            1 => status("503 Service Unavailable"),
            _ => answer(&file, range),
        })
    });
    let mut place = Place::new();
    let message = place.fetch(&server, &whole, 0).unwrap_err();
    assert!(message.contains(&format!("{reached} of {} bytes came", whole.len())), "{message}");
    assert!(!place.target().exists());
    assert_eq!(fs::metadata(place.part()).unwrap().len(), reached);
    place.fetch(&server, &whole, 0).unwrap();
    place.is_complete();
    assert_eq!(server.requests(), [None, Some(reached), Some(reached)]);
}

/// A connection that breaks again and again is not given up while something comes.
#[test]
fn every_byte_that_comes_counts() {
    let whole = sound();
    let file = whole.clone();
    let server = Server::new(move |_, range| {
        let left = file.len() - range.unwrap_or(0) as usize;
        Reply::Send(cut(answer(&file, range), left.saturating_sub(50_000)))
    });
    let mut place = Place::new();
    place.fetch(&server, &whole, 0).unwrap();
    place.is_complete();
    let asked: Vec<u64> = server.requests().iter().map(|range| range.unwrap_or(0)).collect();
    assert_eq!(asked, [0, 50_000, 100_000, 150_000, 200_000, 250_000, 300_000]);
}

#[test]
fn a_server_without_ranges_starts_over() {
    let whole = sound();
    let file = whole.clone();
    let server = Server::new(move |number, range| {
        assert_eq!(range.is_some(), number > 0);
        let answer = answer(&file, None);
        Reply::Send(if number == 0 { cut(answer, 1000) } else { answer })
    });
    let mut place = Place::new();
    place.fetch(&server, &whole, 1).unwrap();
    place.is_complete();
}

#[test]
fn a_wrong_file_is_not_used() {
    let (mut place, server) = (Place::new(), Server::sound(sound()));
    let mut other = sound();
    *other.last_mut().unwrap() ^= 1;
    let message = place.fetch(&server, &other, 2).unwrap_err();
    assert!(message.contains("its SHA-256 is ") && message.contains(&server.address), "{message}");
    assert_eq!(server.requests().len(), 1);
    place.is_empty();
    // Shorter and longer ones are known before they come.
    for length in [sound().len() - 1, sound().len() + 1] {
        let message = place.fetch(&server, &vec![0; length], 2).unwrap_err();
        assert!(message.contains(&format!("expected {length} bytes, the server has")), "{message}");
        place.is_empty();
    }
}

#[test]
fn what_was_fetched_before_and_is_damaged_is_fetched_again() {
    for length in [1000, sound().len(), sound().len() + 5] {
        let (mut place, server) = (Place::new(), Server::sound(sound()));
        fs::create_dir_all(place.part().parent().unwrap()).unwrap();
        fs::write(place.part(), vec![1; length]).unwrap();
        place.fetch(&server, &sound(), 0).unwrap();
        place.is_complete();
        assert_eq!(server.requests().last(), Some(&None), "the last request was not for the whole file");
    }
}

#[test]
fn what_a_server_refuses_is_asked_for_once_and_what_it_cannot_do_now_again() {
    let server = Server::new(|_, _| Reply::Send(status("404 Not Found")));
    let mut place = Place::new();
    let message = place.fetch(&server, &sound(), 3).unwrap_err();
    assert!(message.contains(&server.address) && message.contains("404 Not Found"), "{message}");
    assert_eq!(server.requests().len(), 1);
    place.is_empty();

    let server = Server::new(|number, range| {
        Reply::Send(if number == 0 { status("503 Service Unavailable") } else { answer(&sound(), range) })
    });
    place.fetch(&server, &sound(), 1).unwrap();
    place.is_complete();
    assert!(place.told.iter().any(|text| text.contains("503")), "{:?}", place.told);
}

/// Archives that a careful program does not unpack. Their hashes are right: whoever made them made
/// those, too.
#[test]
fn nothing_is_unpacked_outside_of_the_folder_nor_anything_else_than_files() {
    use tar::EntryType::{Block, Char, Directory, Fifo, GNUSparse, Link, Symlink};
    let outside = tempfile::tempdir().unwrap();
    let absolute = outside.path().join("absolute").to_str().unwrap().to_owned();
    let good = || vec![file("set/one.bin", &noise(LENGTH)), file("set/two.bin", b"two")];
    let with = |extra: Vec<Vec<u8>>| tarred(&[extra, good()].concat());
    let link = |kind, name, to| with(vec![entry(name, kind, to, b"")]);
    let bomb = vec![0; 30 << 20];
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("up", with(vec![file("../escaped", b"x")]), "outside of the archive's folder"),
        ("up and down", with(vec![file("set/../../escaped", b"x")]), "outside of the archive's folder"),
        (
            "up, a folder",
            with(vec![entry("../escaped/", Directory, "", b"")]),
            "outside of the archive's folder",
        ),
        ("absolute", with(vec![file(&absolute, b"x")]), "outside of the archive's folder"),
        ("symlink", link(Symlink, "set/two.bin", "/etc/passwd"), "a link or a device"),
        ("symlinked folder", link(Symlink, "set", outside.path().to_str().unwrap()), "a link or a device"),
        ("hard link", link(Link, "set/two.bin", "/etc/passwd"), "a link or a device"),
        ("device", link(Char, "set/two.bin", ""), "a link or a device"),
        ("block device", link(Block, "set/x", ""), "a link or a device"),
        ("pipe", link(Fifo, "set/two.bin", ""), "a link or a device"),
        ("sparse", link(GNUSparse, "set/two.bin", ""), "not a gzipped tar archive"),
        ("bomb", with(vec![file("set/readme.html", &bomb)]), "at most 1348579 bytes"),
        ("twice", with(vec![file("set/two.bin", b"owt")]), "is in it twice"),
        (
            "long",
            tarred(&[file("set/one.bin", b"1"), file("set/two.bin", b"two")]),
            "expected 300000 bytes, found 1",
        ),
        ("missing", tarred(&[file("set/one.bin", &noise(LENGTH))]), "expected set/two.bin in it, found none"),
        ("elsewhere", tarred(&[file("one.bin", &noise(LENGTH)), file("two.bin", b"two")]), "found none"),
        ("torn", gzip(&good().concat()[..LENGTH / 2]), "only a part of one"),
        ("half gzipped", tarred(&good())[..LENGTH / 2].to_vec(), "only a part of one"),
        ("not gzipped", good().concat(), "not a gzipped tar archive"),
        (
            "checksum",
            gzip(&[b"x".to_vec(), file("set/one.bin", b"1")[1..].to_vec()].concat()),
            "not a gzipped",
        ),
    ];
    for (name, archive, says) in cases {
        let (mut place, server) = (Place::new(), Server::sound(archive.clone()));
        let Err(message) = place.fetch(&server, &archive, 0) else { panic!("{name}: it was unpacked") };
        assert!(message.contains(says), "{name}: {message}");
        // Nothing is left that could be taken for data, and nothing was written elsewhere.
        assert_eq!(names(place.folder.path()), Vec::<String>::new(), "{name}");
        assert!(names(outside.path()).is_empty(), "{name}");
        assert!(!place.folder.path().parent().unwrap().join("escaped").exists(), "{name}");
        // The right archive is fetched into the same place.
        place.fetch(&Server::sound(sound()), &sound(), 0).unwrap();
        place.is_complete();
    }
}

/// Files that are kept as they are: those that are there are not fetched again when the next one
/// fails.
#[test]
fn complete_files_are_kept_for_the_next_call() {
    let contents = [noise(70_000), b"two".to_vec()];
    let hashes = contents
        .clone()
        .map(|content| Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    let first = Server::sound(contents[0].clone());
    let second = Server::new(|number, range| {
        Reply::Send(if number == 0 { status("404 Not Found") } else { answer(b"two", range) })
    });
    let addresses = [
        first.address.replace("archive.tar.gz", "one.bin"),
        second.address.replace("archive.tar.gz", "two.bin"),
    ];
    let archives: Vec<Archive> = (0..2)
        .map(|i| Archive {
            address: &addresses[i],
            sha256: &hashes[i],
            bytes: contents[i].len() as u64,
            unpack: None,
        })
        .collect();
    let mut place = Place::new();
    assert!(place.fetch_all(&archives, 0).unwrap_err().contains("two.bin: the server answers 404"));
    assert!(!place.target().exists());
    place.fetch_all(&archives, 0).unwrap();
    assert_eq!(names(&place.target()), ["one.bin", "two.bin"]);
    assert_eq!(names(place.folder.path()), ["set"]);
    assert_eq!((first.requests().len(), second.requests().len()), (1, 2));
}

#[test]
fn what_the_user_has_is_left_alone() {
    let mut place = Place::new();
    fs::create_dir(place.target()).unwrap();
    // An empty folder is as good as none.
    place.fetch(&Server::sound(sound()), &sound(), 0).unwrap();
    place.is_complete();
    fs::remove_file(place.target().join("two.bin")).unwrap();
    let server = Server::sound(sound());
    let message = place.fetch(&server, &sound(), 0).unwrap_err();
    assert!(message.contains("rename or remove it, then download again"), "{message}");
    assert_eq!(server.requests().len(), 0);
    assert_eq!(names(place.folder.path()), ["set"]);
    assert_eq!(names(&place.target()), ["one.bin"]);

    // What somebody put into the folder that downloads go through stays, whatever comes of the
    // download.
    let notes = place.folder.path().join("set.download/notes.txt");
    fs::create_dir(notes.parent().unwrap()).unwrap();
    fs::write(&notes, "mine").unwrap();
    assert!(place.fetch(&server, &sound(), 0).is_err());
    assert_eq!(names(notes.parent().unwrap()), ["notes.txt"]);
    fs::remove_file(place.target().join("one.bin")).unwrap();
    place.fetch(&Server::sound(sound()), &sound(), 0).unwrap();
    assert_eq!(names(&place.target()), ["one.bin", "two.bin"]);
    assert_eq!(names(notes.parent().unwrap()), ["notes.txt"]);

    // Nor is anything written or removed where a link of that name leads.
    fs::remove_dir_all(place.target()).unwrap();
    fs::remove_dir_all(notes.parent().unwrap()).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("archive.tar.gz.part"), "mine").unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), notes.parent().unwrap()).unwrap();
    let message = place.fetch(&Server::sound(sound()), &sound(), 0).unwrap_err();
    assert!(message.contains("found a link"), "{message}");
    assert_eq!(fs::read(elsewhere.path().join("archive.tar.gz.part")).unwrap(), b"mine");
}

#[test]
fn two_at_once_do_not_disturb_each_other() {
    let mut place = Place::new();
    let work = place.folder.path().join("set.download");
    fs::create_dir_all(&work).unwrap();
    let other = fs::File::open(&work).unwrap();
    other.lock().unwrap();
    let message = place.fetch(&Server::sound(sound()), &sound(), 0).unwrap_err();
    assert!(message.contains("another process is fetching"), "{message}");
    drop(other);
    place.fetch(&Server::sound(sound()), &sound(), 0).unwrap();
    place.is_complete();
}

/// Files of the right names and lengths, all zeros.
fn cifar100(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for (name, records) in [("train.bin", 50_000), ("test.bin", 10_000)] {
        fs::File::create(folder.join(name)).unwrap().set_len(records * 3074).unwrap();
    }
}

#[test]
fn data_sets_are_found_by_option_variable_and_home() {
    let mut lab = Lab::new();
    cifar100(&lab.path("option/cifar100"));
    let missing = |run: crate::support::Run, folder: &str| {
        assert_eq!(run.code, Some(1));
        for part in [folder, "download(\"cifar100\")", "cifar100(path)"] {
            assert!(run.stderr.contains(part), "no `{part}` in {}", run.stderr);
        }
    };
    // The home's share folder, as the lab sets it; the variable; the option.
    missing(lab.run(["-e", "cifar100()"]), "share/kelvin/cifar100");
    lab.set("KELVIN_DATA", "variable");
    missing(lab.run(["-e", "cifar100()"]), "variable/cifar100");
    let found = lab.run(["--data-dir", "option", "-e", "cifar100()"]);
    assert_eq!(
        (found.code, &found.stdout[..]),
        (Some(0), "cifar100: 60000 images 3x32x32, 100 classes, 184.3 MB\n"),
        "{}",
        found.stderr
    );
    // What is there is not fetched.
    let there = lab.run(["--data-dir", "option", "-e", "download(\"cifar100\")"]);
    assert_eq!((there.code, &there.stdout[..], &there.stderr[..]), (Some(0), "option/cifar100\n", ""));
}

#[test]
fn data_lists_what_is_there_and_how_to_get_the_rest() {
    let mut lab = Lab::new();
    lab.set("KELVIN_DATA", lab.path("data"));
    cifar100(&lab.path("data/cifar100/cifar-100-binary"));
    lab.write("data/mnist/train-images-idx3-ubyte", b"");
    lab.write("data/cifar10/train-0.parquet", b"PAR1 and no more");
    let list = lab.run(["data"]);
    assert_eq!((list.code, &list.stderr[..]), (Some(0), ""));
    // Every source has its line.
    for source in kelvin::data::SOURCES {
        let line = list.stdout.lines().find(|line| line.split_whitespace().next() == Some(source.name));
        let line = line.unwrap_or_else(|| panic!("no {} in\n{}", source.name, list.stdout));
        let state = match source.name {
            "digits" | "synthetic" | "cifar100" => "here",
            "mnist" | "cifar10" => "broken",
            "images" => "yours",
            _ => "missing",
        };
        assert_eq!(line.split_whitespace().nth(1), Some(state), "{line}");
    }
    assert!(list.stdout.contains("60,000      100  184.4 MB"), "{}", list.stdout);
    assert!(list.stdout.contains("download(\"fashion_mnist\") fetches 30.9 MB"), "{}", list.stdout);
    let one = lab.run(["data", "mnist"]);
    for part in
        ["LeCun", "60,000 to train on", "t10k-labels", "train-labels", "440fcabf", "download(\"mnist\")"]
    {
        assert!(one.stdout.contains(part), "no `{part}` in\n{}", one.stdout);
    }
    let elsewhere = lab.run(["data", "cifar100", "--data-dir", "nowhere"]);
    assert!(elsewhere.stdout.contains("nowhere/cifar100 does not hold it"), "{}", elsewhere.stdout);
    let before = lab.run(["--data-dir", "nowhere", "data", "cifar100"]);
    assert_eq!((before.code, before.stdout), (Some(0), elsewhere.stdout), "{}", before.stderr);
    let lost = lab.run(["-q", "data"]);
    assert!(lost.code == Some(2) && lost.stderr.contains("options after the command"), "{}", lost.stderr);
    let wrong = lab.run(["data", "cifar11"]);
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.stderr.contains("no data set \"cifar11\"; did you mean `cifar10`?"), "{}", wrong.stderr);
    let wrong = lab.run(["-e", "download(\"digits\")"]);
    assert!(wrong.stderr.contains("no data set \"digits\" to fetch"), "{}", wrong.stderr);
}

/// One at a time; see `main.rs`.
mod alone {
    use super::*;

    #[test]
    fn a_silent_server_is_given_up() {
        let server = Server::new(|_, _| Reply::Hang(Vec::new()));
        let mut place = Place::new();
        place.silence = Duration::from_millis(400);
        let started = Instant::now();
        let message = place.fetch(&server, &sound(), 1).unwrap_err();
        assert_soon("giving up", started.elapsed(), Duration::from_secs(5));
        assert!(message.contains("sent nothing for 0.4 s"), "{message}");
        assert_eq!(server.requests().len(), 2);
        place.is_empty();

        // In the middle of the file: what came is kept.
        place.silence = Duration::from_millis(1500);
        let server = Server::new(|_, range| Reply::Hang(cut(answer(&sound(), range), 1000)));
        let message = place.fetch(&server, &sound(), 0).unwrap_err();
        assert!(message.contains("sent nothing"), "{message}");
        assert_eq!(fs::metadata(place.part()).unwrap().len() as usize, sound().len() - 1000);
        assert!(!place.target().exists());
    }

    /// The program asks for the official address, through a proxy that the test runs, and Ctrl-C
    /// stops it.
    #[test]
    fn an_interrupt_stops_a_download() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut lab = Lab::new();
        lab.set("http_proxy", format!("http://{}", listener.local_addr().unwrap()));
        lab.set("KELVIN_DATA", lab.path("data"));
        let started = lab.start(["-e", "download(\"fashion_mnist\")"]);
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = String::new();
        while !request.contains("\r\n\r\n") {
            let mut part = [0; 256];
            let length = stream.read(&mut part).unwrap();
            assert!(length > 0, "{request}");
            request += &String::from_utf8_lossy(&part[..length]);
        }
        assert!(request.contains("fashion-mnist.s3-website.eu-central-1.amazonaws.com"), "{request}");
        started.signal(libc::SIGINT);
        let asked = Instant::now();
        let run = started.end();
        assert_soon("Ctrl-C", asked.elapsed(), Duration::from_secs(2));
        assert_eq!(run.code, Some(130), "{}", run.stderr);
        assert!(!lab.path("data/fashion_mnist").exists());
    }
}
