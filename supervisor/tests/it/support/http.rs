//! A minimal HTTP client for `--serve`, which can also send malformed requests.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
};

use serde_json::Value;

use super::{PATIENCE, Run, Running};

/// A response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    /// Reads a response to its end.
    pub(crate) fn read(from: &mut impl Read) -> Self {
        let mut text = Vec::new();
        // A reset after the response is not an error.
        let _ = from.read_to_end(&mut text);
        let text = String::from_utf8(text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head: head.to_lowercase(), body: body.into() }
    }

    /// The value of a header.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

impl Run {
    /// Serves the run on a free port.
    pub(crate) fn served(self) -> Self {
        self.with("--serve :0")
    }
}

impl Running {
    /// The address on which the run is served, as `127.0.0.1:port`.
    pub(crate) fn address(&self) -> String {
        self.stderr.until("the address", |text| {
            let (_, rest) = text.split_once("serving at http://")?;
            Some(rest.split_once("/\n")?.0.to_owned())
        })
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends a request verbatim and reads the response.
    pub(crate) fn send(&self, request: &str) -> Answer {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        Answer::read(&mut stream)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send(&request("GET", path, "localhost"))
    }

    /// Requests a stream of events.
    pub(crate) fn follow(&self, path: &str) -> Events {
        let mut stream = self.connect();
        stream.write_all(request("GET", path, "localhost").as_bytes()).unwrap();
        Events(BufReader::new(stream))
    }
}

pub(crate) fn request(method: &str, path: &str, host: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
}

/// A stream of server-sent events.
pub(crate) struct Events(BufReader<TcpStream>);

impl Events {
    /// The next event: its name, which is `message` for a record, and its data. `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<(String, Value)>> {
        let (mut name, mut line) = (String::from("message"), String::new());
        loop {
            line.clear();
            if self.0.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            // Other lines are HTTP headers and chunk sizes.
            if let Some(event) = line.strip_prefix("event: ") {
                name = event.trim().into();
            } else if let Some(data) = line.strip_prefix("data: ") {
                return Ok(Some((name, serde_json::from_str(data).unwrap())));
            }
        }
    }

    /// All events to the end of the stream.
    pub(crate) fn rest(mut self) -> Vec<(String, Value)> {
        std::iter::from_fn(|| self.next().unwrap()).collect()
    }
}
