//! Broadcasts by real engines on loopback: each node is a folder of its own.

use super::*;
use crate::platform::{
    Errand,
    real::transfer::tests::{Bed, SAVE, node, receiver},
};
use std::{fs, net::Ipv4Addr, sync::Mutex};

fn torrent(bed: &Bed) -> Torrent {
    // The shell of the test puts the node's name in.
    let directory = format!("{}/down", bed.dir.path().display());
    Torrent { tracker: Ipv4Addr::LOCALHOST, limit: Duration::from_secs(200), directory }
}

/// Results of a broadcast to each node by itself: on one machine they would share a file.
async fn one(bed: &Bed, index: usize, torrent: &Torrent) -> Result<(), TransferError> {
    let mut job = bed.job(0, SAVE);
    job.receivers = vec![receiver(index, SAVE)];
    let torrent = Torrent { directory: format!("{}{index}", torrent.directory), ..torrent.clone() };
    let told = Mutex::new(Vec::new());
    let progress = |at: Progress| told.lock().unwrap().push(at);
    let results = broadcast(&*bed.shell, &job, &torrent, &progress).await;
    let result = results.into_values().next().unwrap();
    if result.is_ok() {
        let told = told.into_inner().unwrap();
        let last = told.last().unwrap();
        assert_eq!((last.written, last.total), (bed.image.len() as u64, bed.image.len() as u64));
    }
    result
}

#[tokio::test]
async fn the_image_comes_by_torrent_and_nothing_is_left_running() {
    let bed = Bed::new();
    let torrent = torrent(&bed);
    // Two broadcasts at once: each has a tracker of its own.
    let (first, second) = tokio::join!(one(&bed, 0, &torrent), one(&bed, 1, &torrent));
    assert_eq!((first, second), (Ok(()), Ok(())));
    for index in 0..2 {
        bed.assert_received(&node(index));
        let folder = format!("{}{index}", torrent.directory);
        let left: Vec<_> =
            fs::read_dir(&folder).unwrap().flatten().map(|e| e.file_name()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[tokio::test]
async fn a_missing_engine_and_a_wrong_address_are_named_with_the_way_out() {
    let bed = Bed::with(|shell, _| shell.path = "/nowhere".to_owned());
    let why = one(&bed, 0, &torrent(&bed)).await.unwrap_err().to_string();
    assert!(why.contains("aria2c is not on n0.example.org") && why.contains("another"), "{why}");
    let bed = Bed::new();
    let elsewhere = Torrent { tracker: Ipv4Addr::new(192, 0, 2, 1), ..torrent(&bed) };
    let why = one(&bed, 0, &elsewhere).await.unwrap_err().to_string();
    assert!(why.contains("192.0.2.1 (external/bittorrent/tracker_ip)"), "{why}");
}

#[tokio::test]
async fn a_node_whose_engine_ends_or_whose_command_fails_is_told_apart() {
    let bed = Bed::new();
    let mut job = bed.job(0, "cat > /dev/null; echo no room >&2; exit 3");
    job.receivers = vec![receiver(0, "cat >/dev/null; echo no >&2; exit 3")];
    let torrent = torrent(&bed);
    let results = broadcast(&*bed.shell, &job, &torrent, &|_| ()).await;
    let error = results["n0.example.org"].clone().unwrap_err();
    assert!(matches!(error, TransferError::Command { status: 3, .. }), "{error}");
    // It is ended before it could begin: the folder for the image cannot be made.
    let blocked =
        Torrent { directory: format!("{}-blocked", torrent.directory), ..torrent.clone() };
    fs::write(&blocked.directory, "in the way").unwrap();
    let results = broadcast(&*bed.shell, &job, &blocked, &|_| ()).await;
    let why = results["n0.example.org"].clone().unwrap_err().to_string();
    assert!(why.contains("mkdir"), "{why}");
    // What stores the image leaves it there.
    let path = format!("{}/store/image", bed.dir.path().display());
    job.receivers[0].errand = Errand::Store { path: path.clone() };
    let directory = format!("{}/store", bed.dir.path().display());
    let torrent = Torrent { directory, ..torrent };
    let results = broadcast(&*bed.shell, &job, &torrent, &|_| ()).await;
    assert_eq!(results["n0.example.org"], Ok(()));
    assert!(fs::read(&path).unwrap() == bed.image);
}
