//! What becomes of clients that cannot be served?

use super::stage::{Stage, ask, leave, rest, say};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: here\r\n\r\n";

/// Checks that it is a whole answer of status 503, and gives its body.
fn refusal(answer: &str) -> String {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{head}");
    for line in [format!("Content-Length: {}", body.len()), "Connection: close".into()] {
        assert!(head.lines().any(|header| header == line), "no {line} in {head}");
    }
    assert!(head.contains("\r\nRetry-After: "), "{head}");
    body.into()
}

#[test]
fn a_full_server_says_so_in_http() {
    let stage = Stage::with_connection("exec cat");
    let mut server = stage.listen(&["--max-connections", "1"]);
    let served = server.connect();
    assert_eq!(ask(&served, "hello"), "hello");
    // Those who say nothing and stay hold up nobody.
    let rude: Vec<_> = (0..3).map(|_| server.connect()).collect();

    let refused = server.connect();
    say(&refused, REQUEST);
    assert!(refusal(&rest(&refused)).contains("All connections are in use"));
    server.line_with("refused: all connections are in use");
    for rude in &rude {
        refusal(&rest(rude));
    }
    let head_only = server.connect();
    say(&head_only, &REQUEST.replace("GET", "HEAD"));
    assert!(rest(&head_only).ends_with("\r\n\r\n"));

    assert_eq!(ask(&served, "still there?"), "still there?");
    assert_eq!(leave(&served), "");
    server.line_with("connection 1 from ");
    let next = server.connect();
    assert_eq!(ask(&next, "hello"), "hello");
    assert_eq!(leave(&next), "");
    assert!(server.stop().contains("refused: 5 of 7 clients"));
}

#[test]
fn a_full_server_parts_from_a_client_of_another_protocol() {
    let stage = Stage::new();
    let mut server = stage.listen(&["--max-connections", "1", "--", "cat"]);
    let served = server.connect();
    assert_eq!(ask(&served, "hello"), "hello");
    let refused = server.connect();
    say(&refused, "hello");
    assert_eq!(rest(&refused), "");
    server.line_with("refused: all connections are in use");
    assert_eq!(leave(&served), "");
    server.stop();
}

#[test]
fn a_program_that_is_gone_is_told_to_client_and_log() {
    let stage = Stage::with_connection("exec cat");
    let mut server = stage.listen(&[]);
    stage.remove("connection_bin");
    let client = server.connect();
    say(&client, REQUEST);
    assert!(refusal(&rest(&client)).contains("cannot start a process"));
    server.line_with(": cannot start ./connection_bin: no such file");

    // It is looked up anew for each client.
    stage.script("connection_bin", "exec cat");
    let client = server.connect();
    assert_eq!(ask(&client, "hello"), "hello");
    assert_eq!(leave(&client), "");
    server.stop();
}

#[test]
fn a_flood_is_told_too() {
    let stage = Stage::with_connection("exec cat");
    let server = stage.listen(&["--max-connections", "1"]);
    let served = server.connect();
    assert_eq!(ask(&served, "hello"), "hello");
    // More than are waited for.
    let flood: Vec<_> = (0..80).map(|_| server.connect()).collect();
    for client in &flood {
        refusal(&rest(client));
    }
    assert_eq!(ask(&served, "still there?"), "still there?");
    assert_eq!(leave(&served), "");
    server.stop();
}
