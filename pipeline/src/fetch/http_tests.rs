//! What a download promises, against a server that misbehaves.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::fetch::server::Server;
use crate::raw::NoProgress;

const NOTHING: Known<'_> = Known {
    sha256: None,
    bytes: None,
};

fn content() -> Vec<u8> {
    (0..200_000u32).map(|i| (i * 7 % 251) as u8).collect()
}

/// Files in a folder by name.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn a_broken_download_goes_on_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/file.bin");
    let mut server = Server::of(content());
    server.chunk = 90_000;
    let server = server.start();
    let address = server.address("file.bin");
    url(&address, &path, NOTHING, &NoProgress).unwrap();
    assert_eq!(fs::read(&path).unwrap(), content());
    assert_eq!(server.requests(), ["", "bytes=90000-", "bytes=180000-"]);
    assert_eq!(
        names(path.parent().unwrap()),
        ["file.bin"],
        "nothing but the file is left"
    );
    url(&address, &path, NOTHING, &NoProgress).unwrap();
    assert_eq!(
        server.requests().len(),
        3,
        "a finished file is not asked for again"
    );
}

#[test]
fn a_partial_file_of_another_version_is_not_continued() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file.bin");
    fs::write(dir.path().join("file.bin.part"), [9; 1000]).unwrap();
    fs::write(dir.path().join("file.bin.part.etag"), "\"v0\"").unwrap();
    let server = Server::of(content()).start();
    url(&server.address("file.bin"), &path, NOTHING, &NoProgress).unwrap();
    assert_eq!(fs::read(&path).unwrap(), content());
}

#[test]
fn without_a_strong_tag_it_begins_anew_each_time_and_tells_when_it_gives_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file.bin");
    let mut server = Server::of(content());
    (server.chunk, server.etag) = (90_000, "W/\"weak\"");
    let server = server.start();
    let address = server.address("file.bin");
    let error = url(&address, &path, NOTHING, &NoProgress)
        .unwrap_err()
        .to_string();
    assert!(error.contains(&address) && error.contains("run again"), "{error}");
    assert!(server.requests().iter().all(String::is_empty));
    assert_eq!(server.requests().len(), ATTEMPTS as usize);
    assert!(!path.exists());
}

#[test]
fn what_a_call_leaves_is_gone_on_with_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file.bin");
    let mut server = Server::of(content());
    server.chunk = 30_000;
    let server = server.start();
    let address = server.address("file.bin");
    url(&address, &path, NOTHING, &NoProgress).unwrap_err();
    assert!(!path.exists());
    assert_eq!(
        fs::metadata(dir.path().join("file.bin.part")).unwrap().len(),
        120_000
    );
    url(&address, &path, NOTHING, &NoProgress).unwrap();
    assert_eq!(fs::read(&path).unwrap(), content());
    assert_eq!(server.requests()[4], "bytes=120000-");
}

#[test]
fn a_server_that_is_busy_is_asked_again_and_one_that_refuses_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file.bin");
    let mut busy = Server::of(content());
    busy.then = vec![Some("503 Service Unavailable"), Some("429 Too Many Requests")];
    let busy = busy.start();
    let begin = std::time::Instant::now();
    url(&busy.address("file.bin"), &path, NOTHING, &NoProgress).unwrap();
    assert_eq!(busy.requests().len(), 3);
    assert!(
        begin.elapsed() >= Duration::from_millis(1_500),
        "the second wait is longer than the first"
    );

    let mut closed = Server::of(content());
    closed.then = vec![Some("404 Not Found")];
    let closed = closed.start();
    let other = dir.path().join("other.bin");
    let error = url(&closed.address("file.bin"), &other, NOTHING, &NoProgress)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("404") && error.contains("check the address"),
        "{error}"
    );
    assert_eq!(closed.requests().len(), 1);
    assert_eq!(names(dir.path()), ["file.bin"]);
}

#[test]
fn a_length_that_is_too_large_is_taken_for_a_broken_connection() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file.bin");
    let mut server = Server::of(content());
    server.claimed = Some(300_000);
    let server = server.start();
    // All of it is there, but nobody can know; the server's own answer to the next range settles it.
    let answer = url(&server.address("file.bin"), &path, NOTHING, &NoProgress);
    assert!(
        server.requests().len() > 1,
        "one answer that falls short of its length is not believed"
    );
    match answer {
        Ok(()) => assert_eq!(fs::read(&path).unwrap(), content()),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_length_that_is_too_small_is_found_out_by_what_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file.bin");
    let lying = || {
        let mut server = Server::of(content());
        server.claimed = Some(1_000);
        server.start()
    };
    let size = Known {
        bytes: Some(200_000),
        ..NOTHING
    };
    let error = url(&lying().address("file.bin"), &path, size, &NoProgress)
        .unwrap_err()
        .to_string();
    assert!(error.contains("1000 bytes arrived, expected 200000"), "{error}");
    assert_eq!(names(dir.path()), Vec::<String>::new());
}

#[test]
fn without_a_length_the_end_of_the_connection_is_the_end_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file.bin");
    let mut server = Server::of(content());
    server.tells_length = false;
    let server = server.start();
    url(&server.address("file.bin"), &path, NOTHING, &NoProgress).unwrap();
    assert_eq!(fs::read(&path).unwrap(), content());
}

#[test]
fn a_wrong_checksum_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file.bin");
    let server = Server::of(content()).start();
    let pinned = "0".repeat(64);
    let known = Known {
        sha256: Some(&pinned),
        ..NOTHING
    };
    let error = url(&server.address("file.bin"), &path, known, &NoProgress)
        .unwrap_err()
        .to_string();
    assert!(error.contains(&pinned), "{error}");
    assert_eq!(names(dir.path()), Vec::<String>::new());
}

#[test]
fn progress_comes_to_the_whole_file_even_in_pieces() {
    struct Sum(std::sync::Mutex<(u64, Vec<Option<u64>>)>);
    impl Progress for Sum {
        fn stage(&self, _name: &str, total: Option<u64>) {
            let mut seen = self.0.lock().unwrap();
            seen.0 = 0;
            seen.1.push(total);
        }
        fn advance(&self, by: u64) {
            self.0.lock().unwrap().0 += by;
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::of(content());
    server.chunk = 150_000;
    let server = server.start();
    let seen = Sum(Default::default());
    url(
        &server.address("file.bin"),
        &dir.path().join("file.bin"),
        NOTHING,
        &seen,
    )
    .unwrap();
    assert_eq!(*seen.0.lock().unwrap(), (200_000, vec![Some(200_000); 2]));
}

#[test]
fn an_address_that_is_none_fails_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let error = url("file.bin", &dir.path().join("x"), NOTHING, &NoProgress).unwrap_err();
    assert!(
        matches!(&error, Error::Fetch { what, .. } if what == "file.bin"),
        "{error}"
    );
}

#[test]
fn a_file_that_need_not_be_there_may_be_missing_but_not_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("chat_template.jinja");
    let ask = |answers: Vec<Option<&'static str>>| {
        let mut server = Server::of(content());
        server.then = answers;
        let server = server.start();
        url_if_any(
            &server.address("chat_template.jinja"),
            Access::default(),
            &path,
            NOTHING,
            &NoProgress,
        )
    };
    assert!(!ask(vec![Some("404 Not Found")]).unwrap());
    assert!(ask(vec![Some("403 Forbidden")]).is_err() && !path.exists());
    assert!(ask(Vec::new()).unwrap() && path.exists());
}
