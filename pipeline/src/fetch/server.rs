//! A web server of one file for tests, which misbehaves as it is told to.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// How to serve.
pub(crate) struct Server {
    content: Vec<u8>,
    /// Bytes of body after which each connection is closed.
    pub chunk: usize,
    pub etag: &'static str,
    /// Answers to the first requests, as `503 Service Unavailable`; none, and after them: the file.
    pub then: Vec<Option<&'static str>>,
    /// What the first answer claims to be long, where that is a lie.
    pub claimed: Option<usize>,
    /// Whether the length is told at all.
    pub tells_length: bool,
}

/// A server that runs until the test ends.
pub(crate) struct Running {
    port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
}

/// What a request said; empty where it said nothing of it.
#[derive(Clone)]
struct Request {
    range: String,
    authorization: String,
}

impl Running {
    pub fn address(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}", self.port)
    }

    /// The `Range` of every request so far; empty where none was asked for.
    pub fn requests(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        requests.iter().map(|request| request.range.clone()).collect()
    }

    /// The `Authorization` of every request so far; empty where none was given.
    pub fn authorizations(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        requests
            .iter()
            .map(|request| request.authorization.clone())
            .collect()
    }
}

impl Server {
    pub fn of(content: Vec<u8>) -> Self {
        Server {
            content,
            chunk: usize::MAX,
            etag: "\"v1\"",
            then: Vec::new(),
            claimed: None,
            tells_length: true,
        }
    }

    pub fn start(self) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                self.answer(stream.unwrap(), number, &seen);
            }
        });
        Running { port, requests }
    }

    fn answer(&self, mut stream: TcpStream, number: usize, seen: &Mutex<Vec<Request>>) {
        let lines = BufReader::new(stream.try_clone().unwrap())
            .lines()
            .map(|line| line.unwrap());
        let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        let value = |name: &str| {
            let line = head.iter().find(|line| line.to_lowercase().starts_with(name))?;
            Some(line.split_once(": ").unwrap().1.to_string())
        };
        let range = value("range:").unwrap_or_default();
        seen.lock().unwrap().push(Request {
            range: range.clone(),
            authorization: value("authorization:").unwrap_or_default(),
        });
        if let Some(Some(status)) = self.then.get(number) {
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).unwrap();
            return;
        }
        let start: Option<usize> = range
            .strip_prefix("bytes=")
            .and_then(|range| range.split_once('-')?.0.parse().ok());
        let pinned = value("if-range:").or(value("if-match:"));
        let start = start.filter(|_| pinned.is_none_or(|tag| tag == self.etag));
        let rest = &self.content[start.unwrap_or(0)..];
        let first = match start {
            None => "HTTP/1.1 200 OK\r\n".to_string(),
            Some(start) => format!(
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{}/{}\r\n",
                self.content.len() - 1,
                self.content.len()
            ),
        };
        let length = self.claimed.filter(|_| number == 0).unwrap_or(rest.len());
        let length = if self.tells_length {
            format!("Content-Length: {length}\r\n")
        } else {
            String::new()
        };
        let head = format!("{first}ETag: {}\r\n{length}Connection: close\r\n\r\n", self.etag);
        // A client that has gone away, because it was told of fewer bytes, is no failure of the server.
        let _ = stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(&rest[..rest.len().min(self.chunk)]));
    }
}
