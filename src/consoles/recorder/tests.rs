//! Files of recordings.

use super::Shelf;
use tokio::sync::watch;

#[tokio::test]
async fn recordings_are_bounded_and_places_stay_what_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(dir.path(), 1000, 2);
    let (end, seen) = watch::channel(0);
    let mut recording = shelf.begin("n-1", "D-1", "anna", end).await.unwrap();
    let mut place = 0;
    for number in 0..1000 {
        let line = format!("line {number}\r\n");
        recording.write(line.as_bytes()).unwrap();
        let read = shelf.read("n-1", 0, place).unwrap().unwrap();
        // Whoever follows misses nothing and hears nothing twice.
        assert_eq!(read.text, line);
        place = read.next;
        assert_eq!(place, *seen.borrow());
    }
    let all = shelf.read("n-1", 0, 0).unwrap().unwrap();
    assert!(all.text.starts_with("[the beginning was left out]\r\n") && all.text.len() <= 1000);
    assert_eq!((all.wid.as_str(), all.user.as_str()), ("D-1", "anna"));
    assert!(std::fs::metadata(dir.path().join("n-1/0.log")).unwrap().len() < 1200);
}

#[tokio::test]
async fn each_operation_has_its_own_and_the_oldest_goes() {
    let dir = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(dir.path(), 1000, 2);
    for wid in ["D-1", "D-2", "D-2", "D-3"] {
        let mut recording = shelf.begin("n-1", wid, "anna", watch::channel(0).0).await.unwrap();
        recording.write(wid.as_bytes()).unwrap();
    }
    let texts = [0, 1, 2].map(|back| shelf.read("n-1", back, 0).unwrap().map(|kept| kept.text));
    assert_eq!(texts, [Some("D-3".to_owned()), Some("D-2D-2".to_owned()), None]);
    assert_eq!(shelf.read("n-2", 0, 0).unwrap(), None);
    assert!(shelf.read("../n-1", 0, 0).is_err());
}
