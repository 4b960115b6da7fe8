//! Object stores: reading as a stream, listing, uploading a folder.
//!
//! Each call has a thread with a runtime and a client of its own: they are called from threads with and without a runtime around
//! them, and the connections of a client are bound to the runtime that opened them. Calls are few and long.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path as FilePath, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use futures::StreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::path::Path;
use object_store::{
    ClientOptions, GetOptions, GetRange, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt,
    ObjectStoreScheme, PutMode, PutOptions, RetryConfig, WriteMultipart,
};

use crate::error::{Error, Result};
use crate::storage::Broken;

/// Blocks that may wait for the reader.
const WAITING: usize = 16;

/// How often a connection may break without a byte having come through it.
const ATTEMPTS: u32 = 6;

/// Before such a connection is taken up again; twice as long each time. The client has been patient itself by then.
const PAUSE: Duration = Duration::from_millis(100);

/// Bytes of a part of an upload; smaller files go as one. S3 takes no parts below 5 MiB but the last, and no more than 10,000.
const PART: usize = 32 << 20;

/// Parts on their way at a time.
const PARTS: usize = 4;

type Store = Box<dyn ObjectStore>;

/// The store of a URL, as the environment configures it, and the place in it.
fn connect(url: &str, retry: RetryConfig) -> Result<(Store, Path)> {
    let wrong = |error: &dyn std::fmt::Display| {
        Error::Usage(format!(
            "{url}: {error}; `weaverec prepare --help` says which URLs and environment variables there are"
        ))
    };
    let parsed = url::Url::parse(url).map_err(|error| wrong(&error))?;
    let (scheme, place) = ObjectStoreScheme::parse(&parsed).map_err(|error| wrong(&error))?;
    let store = match scheme {
        ObjectStoreScheme::AmazonS3 => AmazonS3Builder::from_env()
            .with_url(url)
            .with_retry(retry)
            .build()
            .map(|store| Box::new(store) as Store),
        ObjectStoreScheme::GoogleCloudStorage => GoogleCloudStorageBuilder::from_env()
            .with_url(url)
            .with_retry(retry)
            .build()
            .map(|store| Box::new(store) as Store),
        ObjectStoreScheme::Http => HttpBuilder::new()
            .with_url(&parsed[..url::Position::BeforePath])
            .with_client_options(ClientOptions::new().with_allow_http(parsed.scheme() == "http"))
            .with_retry(retry)
            .build()
            .map(|store| Box::new(store) as Store),
        _ => return Err(wrong(&"no such store is known")),
    };
    Ok((store.map_err(|error| wrong(&error))?, place))
}

/// Runs `work` on a thread with a runtime and a client for `url`.
fn run<T: Send>(url: &str, work: impl AsyncFnOnce(Store, Path) -> Result<T> + Send) -> Result<T> {
    let job = || {
        let runtime = runtime().map_err(|source| Error::io(url, "start a runtime for", source))?;
        runtime.block_on(async {
            let (store, place) = connect(url, RetryConfig::default())?;
            work(store, place).await
        })
    };
    thread::scope(|scope| scope.spawn(job).join()).unwrap_or_else(|_| {
        Err(Error::io(
            url,
            "read",
            io::Error::other("the thread that does stopped"),
        ))
    })
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// What a store answered, as the operating system would have put it.
fn io_error(error: object_store::Error) -> io::Error {
    let kind = match &error {
        object_store::Error::NotFound { .. } => io::ErrorKind::NotFound,
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
            io::ErrorKind::PermissionDenied
        }
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, Broken(one_line(&error)))
}

/// An error and its causes; servers answer with whole documents.
fn one_line(error: &dyn std::fmt::Display) -> String {
    let text = error.to_string();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The same for calls whose errors are the operating system's.
fn run_io<T: Send>(url: &str, work: impl AsyncFnOnce(Store, Path) -> io::Result<T> + Send) -> io::Result<T> {
    let done = run(url, async |store, place| {
        work(store, place)
            .await
            .map_err(|source| Error::io(url, "read", source))
    });
    done.map_err(|error| match error {
        Error::Io { source, .. } => source,
        other => io::Error::other(Broken(other.to_string())),
    })
}

pub fn check(url: &str) -> Result<()> {
    connect(url, RetryConfig::default()).map(|_| ())
}

pub fn size(url: &str) -> io::Result<u64> {
    run_io(url, async |store, place| {
        Ok(store.head(&place).await.map_err(io_error)?.size)
    })
}

pub fn list(url: &str) -> io::Result<Vec<PathBuf>> {
    let names = run_io(url, async |store, place| {
        let listed = store.list_with_delimiter(Some(&place)).await.map_err(io_error)?;
        let names = listed
            .objects
            .iter()
            .filter_map(|object| object.location.filename());
        Ok(names.map(str::to_owned).collect::<Vec<_>>())
    })?;
    let folder = FilePath::new(url);
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

pub fn folders(url: &str) -> io::Result<Vec<PathBuf>> {
    let names = run_io(url, async |store, place| {
        let listed = store.list_with_delimiter(Some(&place)).await.map_err(io_error)?;
        let names = listed
            .common_prefixes
            .iter()
            .filter_map(|prefix| prefix.filename());
        Ok(names.map(str::to_owned).collect::<Vec<_>>())
    })?;
    let folder = FilePath::new(url);
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

pub fn open(url: &str) -> io::Result<Object> {
    let (sender, blocks) = sync_channel(WAITING);
    let url = url.to_owned();
    // It ends by itself: at the end of the object, at an error, or when nobody takes its blocks any more.
    thread::spawn(move || {
        let pumped = runtime().and_then(|runtime| runtime.block_on(pump(&url, &sender)));
        // A reader that has gone away needs no end and no error.
        let _ = sender.send(pumped.map(|()| bytes::Bytes::new()));
    });
    let mut object = Object {
        blocks,
        block: bytes::Bytes::new(),
        ended: false,
    };
    // That there is no such object is known before anything is read.
    object.refill()?;
    Ok(object)
}

/// An object that is being read.
pub struct Object {
    blocks: Receiver<io::Result<bytes::Bytes>>,
    block: bytes::Bytes,
    ended: bool,
}

impl Object {
    fn refill(&mut self) -> io::Result<()> {
        let stopped = || {
            Err(io::Error::other(Broken(
                "the thread that reads stopped".to_owned(),
            )))
        };
        self.block = self.blocks.recv().unwrap_or_else(|_| stopped())?;
        self.ended = self.block.is_empty();
        Ok(())
    }
}

impl Read for Object {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.block.is_empty() && !self.ended {
            self.refill()?;
        }
        let count = buffer.len().min(self.block.len());
        buffer[..count].copy_from_slice(&self.block.split_to(count));
        Ok(count)
    }
}

/// Sends an object block by block. The client takes a broken connection up again itself, but only so often, and only for some minutes
/// after it asked for the object. A large one takes longer: after the client's last attempt a new request goes on where the bytes ended.
async fn pump(url: &str, sender: &SyncSender<io::Result<bytes::Bytes>>) -> io::Result<()> {
    let retry = RetryConfig {
        max_retries: 3,
        ..RetryConfig::default()
    };
    let (store, place) = connect(url, retry).map_err(|error| io::Error::other(Broken(error.to_string())))?;
    let mut answer = store.get(&place).await.map_err(io_error)?;
    let meta = answer.meta.clone();
    let (mut at, mut attempt) = (0, 1);
    loop {
        let before = at;
        match send(answer, &mut at, sender).await {
            // All of it, or as much as the reader wanted.
            Ok(()) => return Ok(()),
            Err(_) if at == meta.size => return Ok(()),
            Err(error) => {
                attempt = if at > before { 1 } else { attempt + 1 };
                if attempt > ATTEMPTS || !is_pinned(&meta) {
                    return Err(io_error(error));
                }
                tracing::warn!("{url}: {}; going on at byte {at}", one_line(&error));
                tokio::time::sleep(PAUSE * (1 << attempt)).await;
            }
        }
        answer = store.get_opts(&place, rest(&meta, at)).await.map_err(io_error)?;
    }
}

/// Whether a later request can tell that the object is still the same.
fn is_pinned(meta: &ObjectMeta) -> bool {
    meta.e_tag.as_deref().is_some_and(|tag| !tag.starts_with("W/"))
}

/// What is left of the very same object.
fn rest(meta: &ObjectMeta, at: u64) -> GetOptions {
    GetOptions {
        range: Some(GetRange::Offset(at)),
        if_match: meta.e_tag.clone(),
        ..GetOptions::default()
    }
}

/// Sends what an answer holds, counting.
async fn send(
    answer: GetResult,
    at: &mut u64,
    sender: &SyncSender<io::Result<bytes::Bytes>>,
) -> object_store::Result<()> {
    let mut blocks = answer.into_stream();
    while let Some(block) = blocks.next().await {
        let block = block?;
        *at += block.len() as u64;
        // An empty block would be the end.
        if !block.is_empty() && sender.send(Ok(block)).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Puts `files` of a folder, given relative to it, below a URL in their order, the last at the end: it is what makes the folder
/// one. It is taken away first where it is already there, and `old` files that are not among the new go last.
pub fn upload(folder: &FilePath, url: &str, files: &[PathBuf], old: &[PathBuf]) -> Result<()> {
    run(url, async |store, place| {
        put_all(&store, &place, folder, files, old)
            .await
            .map_err(|error| match error {
                // The place in a store is no path of this machine.
                Error::Io { path, action, source } if path.is_relative() => {
                    Error::io(FilePath::new(url).join(path), action, source)
                }
                other => other,
            })
    })
}

async fn put_all(
    store: &Store,
    place: &Path,
    folder: &FilePath,
    files: &[PathBuf],
    old: &[PathBuf],
) -> Result<()> {
    let target = |name: &FilePath| {
        let parts = name.iter().map(|part| part.to_string_lossy().into_owned());
        parts.fold(place.clone(), |place, part| place.join(part))
    };
    let remove = async |name: &FilePath| match store.delete(&target(name)).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(Error::io(name, "remove", io_error(error))),
    };
    if let (Some(last), false) = (files.last(), old.is_empty()) {
        remove(last).await?;
    }
    for name in files {
        put(store, &target(name), folder, name).await?;
    }
    for name in old.iter().filter(|name| !files.contains(name)) {
        remove(name).await?;
    }
    Ok(())
}

async fn put(store: &Store, target: &Path, folder: &FilePath, name: &FilePath) -> Result<()> {
    let path = folder.join(name);
    let unreadable = |source| Error::io(&path, "read", source);
    let refused = |error| Error::io(name, "upload", io_error(error));
    let mut file = File::open(&path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.len() <= PART as u64 {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(unreadable)?;
        return store.put(target, bytes.into()).await.map(|_| ()).map_err(refused);
    }
    let upload = store.put_multipart(target).await.map_err(refused)?;
    let mut upload = WriteMultipart::new_with_chunk_size(upload, PART);
    let mut block = vec![0; 1 << 20];
    loop {
        match file.read(&mut block).map_err(unreadable)? {
            0 => break,
            count => {
                upload.wait_for_capacity(PARTS).await.map_err(refused)?;
                upload.write(&block[..count]);
            }
        }
    }
    upload.finish().await.map(|_| ()).map_err(refused)
}

/// Puts a file as an object if there is none of its name, in one request, and says whether it did.
pub fn put_new(file: &FilePath, url: &str) -> Result<bool> {
    let bytes = std::fs::read(file).map_err(|source| Error::io(file, "read", source))?;
    run(url, async |store, place| {
        put_first(&store, &place, bytes.into())
            .await
            .map_err(|error| Error::io(url, "upload", io_error(error)))
    })
}

async fn put_first(store: &Store, place: &Path, content: bytes::Bytes) -> object_store::Result<bool> {
    let options = PutOptions::from(PutMode::Create);
    match store.put_opts(place, content.into(), options).await {
        Ok(_) => Ok(true),
        Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use object_store::memory::InMemory;

    use super::*;
    use crate::fetch::server::Server;

    fn content() -> Vec<u8> {
        (0..200_000u32).map(|i| (i * 7 % 251) as u8).collect()
    }

    fn read(server: Server) -> io::Result<Vec<u8>> {
        let server = server.start();
        let mut bytes = Vec::new();
        open(&server.address("logs/file.bin"))?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn a_connection_that_keeps_breaking_is_taken_up_again_where_it_broke() {
        let mut server = Server::of(content());
        // More pieces than the client takes by itself.
        server.chunk = 30_000;
        assert!(read(server).unwrap() == content());
    }

    #[test]
    fn an_object_that_cannot_be_told_from_another_version_is_not_gone_on_with() {
        let mut server = Server::of(content());
        (server.chunk, server.etag) = (30_000, "W/\"weak\"");
        let error = read(server).unwrap_err();
        assert!(crate::storage::is_transport(&error), "{error:?}");
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let mut server = Server::of(content());
        server.then = vec![Some("404 Not Found"); 2];
        let error = read(server).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error:?}");
    }

    #[test]
    fn of_two_objects_of_one_name_the_first_has_the_place() {
        let store: Store = Box::new(InMemory::new());
        let put = |text: &'static str| {
            let done = put_first(&store, &Path::from("cells/a.zip"), text.into());
            runtime().unwrap().block_on(done).unwrap()
        };
        assert!(put("one") && !put("other"));
        let there = async { store.get(&Path::from("cells/a.zip")).await?.bytes().await };
        assert_eq!(runtime().unwrap().block_on(there).unwrap(), "one");
    }

    fn names(files: &[&str]) -> Vec<PathBuf> {
        files.iter().map(PathBuf::from).collect()
    }

    fn upload_to(store: &Store, folder: &FilePath, files: &[&str], old: &[&str]) -> Result<()> {
        let (place, files, old) = (Path::from("out/set"), names(files), names(old));
        let done = put_all(store, &place, folder, &files, &old);
        runtime().unwrap().block_on(done)
    }

    fn stored(store: &Store) -> Vec<String> {
        let listed = runtime().unwrap().block_on(store.list(None).collect::<Vec<_>>());
        let mut names: Vec<String> = listed
            .into_iter()
            .map(|object| object.unwrap().location.to_string())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_folder_has_its_last_file_only_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("deep")).unwrap();
        for name in ["deep/a", "b", "manifest.json"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        let store: Store = Box::new(InMemory::new());
        let whole = ["out/set/b", "out/set/deep/a", "out/set/manifest.json"];
        upload_to(&store, folder.path(), &["deep/a", "b", "manifest.json"], &[]).unwrap();
        assert_eq!(stored(&store), whole);

        let broken = ["deep/a", "missing", "manifest.json"];
        let error = upload_to(&store, folder.path(), &broken, &["b", "manifest.json"]).unwrap_err();
        assert!(error.to_string().contains("missing"), "{error}");
        assert_eq!(
            stored(&store),
            whole[..2],
            "the old manifest would vouch for new files"
        );

        upload_to(&store, folder.path(), &["b", "manifest.json"], &["deep/a", "b"]).unwrap();
        assert_eq!(
            stored(&store),
            [whole[0], whole[2]],
            "what is no part any more is gone"
        );
    }

    #[test]
    fn a_large_file_goes_in_parts() {
        let folder = tempfile::tempdir().unwrap();
        let large = content().repeat(PART / content().len() + 5);
        std::fs::write(folder.path().join("large"), &large).unwrap();
        let store: Store = Box::new(InMemory::new());
        upload_to(&store, folder.path(), &["large"], &[]).unwrap();
        let bytes = async {
            store
                .get(&Path::from("out/set/large"))
                .await
                .unwrap()
                .bytes()
                .await
                .unwrap()
        };
        assert!(runtime().unwrap().block_on(bytes) == large);
    }
}
