//! Histories across a clean stop: a file in the data folder, which the next start takes and removes. A
//! server that ends in any other way leaves no file, so its histories end, and clients are told.
//!
//! The file begins with its version and ends with a digest. A file that is torn, of another version or
//! not ours is removed with a line in the log. So is a copy, which has no whole seal: histories that have
//! gone on since would give the same offsets to other events.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use jackfield_store::{break_seal, is_sealed, seal};
use sha2::{Digest, Sha256};
use tracing::{info, warn};

use crate::data_folder::{DataFolder, for_disk, read_file, replace_file};
use crate::history_bytes::{SavedRealms, decode_realms, encode_realms};
use crate::realms::Realms;

/// The name of the file in the data folder.
const FILE: &str = "histories";
/// The first line of the file.
const VERSION: &[u8] = b"jackfield histories 2\n";
const DIGEST_BYTES: usize = 32;

/// The maximum size of the file.
const MAX_BYTES: u64 = 1 << 36;

/// Saves the histories of all realms, after the last publication.
pub(crate) async fn save(realms: &Arc<Realms>, data: Option<&DataFolder>) {
    let Some(path) = data.map(|data| data.part(FILE)) else { return };
    let saving = blocking(realms, data, save_to);
    let _given_up = for_disk(path.parent().unwrap_or(&path), saving).await;
}

/// Takes the saved histories over, before the first client.
pub(crate) async fn take(realms: &Arc<Realms>, data: Option<&DataFolder>) {
    blocking(realms, data, take_from).await;
}

/// Does work with the file on a thread of its own, if there is a data folder.
async fn blocking(
    realms: &Arc<Realms>,
    data: Option<&DataFolder>,
    work: impl FnOnce(&Realms, &Path) + Send + 'static,
) {
    let Some(path) = data.map(|data| data.part(FILE)) else { return };
    let realms = Arc::clone(realms);
    // A panic is logged by the runtime.
    let _done = tokio::task::spawn_blocking(move || work(&realms, &path)).await;
}

fn save_to(realms: &Realms, path: &Path) {
    let all = realms.iter().map(|it| (it.realm().name().to_owned(), it.histories()));
    let all: SavedRealms = all.filter(|(_, topics)| !topics.is_empty()).collect();
    if all.is_empty() {
        return;
    }
    let topics: usize = all.iter().map(|(_, topics)| topics.len()).sum();
    match replace_file(path, &sealed(&all)).and_then(|()| seal(path)) {
        Ok(()) => {
            info!(name: "history.saved", topics, "the histories are saved for the next start");
        }
        Err(error) => {
            let file = path.display();
            warn!(name: "history.not_saved", %file, "the histories are not saved, and end: {error}");
        }
    }
}

/// Returns the histories of the file, and removes it; `None` if there is none.
fn remove(path: &Path) -> Option<Result<SavedRealms, String>> {
    let read = match read_file(path, MAX_BYTES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        read => read,
    };
    let is_copy = !is_sealed(path);
    // Before it is used: histories that two processes go on with would have the same offsets.
    let removed = break_seal(path).and_then(|()| fs::remove_file(path));
    let taken = removed.and(read).map_err(|error| error.to_string()).and_then(|bytes| open(&bytes));
    Some(match taken {
        Ok(_) if is_copy => Err("it was changed, or restored from a copy".to_owned()),
        taken => taken,
    })
}

fn take_from(realms: &Realms, path: &Path) {
    let Some(taken) = remove(path) else { return };
    match taken {
        Ok(all) => {
            let mut topics = 0;
            for (name, saved) in all {
                if let Some(dispatch) = realms.get(&name) {
                    topics += saved.len();
                    dispatch.realm().restore_histories(saved);
                }
            }
            info!(name: "history.taken", topics, "the histories of the last run go on");
        }
        Err(error) => {
            let file = path.display();
            warn!(name: "history.not_taken", %file, "the histories of the last run are ignored, and end: {error}");
        }
    }
}

/// Returns the contents of the file.
fn sealed(all: &SavedRealms) -> Vec<u8> {
    let mut bytes = VERSION.to_vec();
    encode_realms(all, &mut bytes);
    let digest = Sha256::digest(&bytes);
    bytes.extend_from_slice(&digest);
    bytes
}

/// Reads the contents of the file.
fn open(bytes: &[u8]) -> Result<SavedRealms, String> {
    if !bytes.starts_with(VERSION) {
        return Err("it is not a file of this version".to_owned());
    }
    let end = bytes.len().saturating_sub(DIGEST_BYTES);
    let (content, digest) = bytes.split_at_checked(end).unwrap_or_default();
    if Sha256::digest(content).as_slice() != digest {
        return Err("it is not complete".to_owned());
    }
    let content = content.get(VERSION.len()..).unwrap_or_default();
    decode_realms(content).ok_or_else(|| "it cannot be read".to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use jackfield_broker::{SavedContent, SavedEvent, SavedTopic};
    use jackfield_wamp::id::{PublicationId, SessionId};
    use jackfield_wamp::message::ReceiverFilter;
    use jackfield_wamp::payload::Payload;

    use super::*;

    fn saved() -> SavedRealms {
        let id = PublicationId::new(9).unwrap();
        let at = Duration::from_millis(1_795_000_000_123);
        let payload = Payload::from_json("[1,\"a\"]", "{\"k\":null}").unwrap();
        let names = BTreeSet::from(["ann".to_owned(), String::new()]);
        let filter = ReceiverFilter {
            exclude_authid: names.clone(),
            eligible_authrole: Some(names),
            // No user: not the same as all.
            eligible_authid: Some(BTreeSet::new()),
            ..ReceiverFilter::default()
        };
        let publisher = Some((SessionId::new(7).unwrap(), "ann".to_owned(), "member".to_owned()));
        let full = SavedContent { payload: payload.clone(), publisher, filters: vec![filter; 2] };
        let plain = SavedContent { payload, publisher: None, filters: Vec::new() };
        let event = |content| SavedEvent { at, id, content };
        let events = vec![event(Some(full)), event(None), event(Some(plain))];
        let retained = events.first().cloned();
        let topic = |topic: &str, events: Vec<SavedEvent>| SavedTopic {
            topic: topic.to_owned(),
            epoch: u64::MAX,
            top: 41,
            last: at,
            events,
            retained: retained.clone(),
        };
        vec![
            ("realm1".to_owned(), vec![topic("a/b", events), topic("c", Vec::new())]),
            ("other".to_owned(), Vec::new()),
        ]
    }

    #[test]
    fn keeps_histories() {
        assert_eq!(open(&sealed(&saved())).unwrap(), saved());
    }

    #[test]
    fn ignores_a_copy_of_the_whole_folder() {
        let (folder, backup) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let names = [FILE.to_owned(), format!("{FILE}.seal")];
        let copy = |from: &Path, to: &Path| {
            for name in &names {
                fs::copy(from.join(name), to.join(name)).unwrap();
            }
        };
        let path = folder.path().join(FILE);
        let write = || {
            replace_file(&path, &sealed(&saved())).unwrap();
            seal(&path).unwrap();
        };
        write();
        copy(folder.path(), backup.path());
        assert_eq!(remove(&path), Some(Ok(saved())));
        assert!(!path.exists() && !folder.path().join(&names[1]).exists());
        copy(backup.path(), folder.path());
        let is_copy = Some(Err("it was changed, or restored from a copy".to_owned()));
        assert_eq!(remove(&path), is_copy, "it is put into an empty folder");
        write();
        copy(backup.path(), folder.path());
        assert_eq!(remove(&path), is_copy, "it is written over the file");
        assert_eq!(remove(&path), None);
    }

    #[test]
    fn ignores_torn_and_foreign_files() {
        let whole = sealed(&saved());
        for length in 0..whole.len() {
            open(&whole[..length]).unwrap_err();
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            open(&changed).unwrap_err();
        }
        let newer = [b"jackfield histories 3\n", &whole[VERSION.len()..]].concat();
        assert_eq!(open(&newer).unwrap_err(), "it is not a file of this version");
    }
}
