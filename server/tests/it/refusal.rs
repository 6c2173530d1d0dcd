//! Clients that cannot be served are refused with an answer.

use super::stage::{Stage, ask, leave, rest, say};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: here\r\n\r\n";

/// Checks that this is a complete response with status 503; returns its body.
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
fn a_full_server_answers_503() {
    let stage = Stage::with_connection("exec cat");
    let mut server = stage.listen(&["--max-connections", "1"]);
    let served = server.connect();
    assert_eq!(ask(&served, "hello"), "hello");
    // Silent clients that stay connected do not block others.
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
fn a_full_server_closes_clients_of_other_protocols() {
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
fn a_missing_program_is_reported_to_client_and_log() {
    let stage = Stage::with_connection("exec cat");
    let mut server = stage.listen(&[]);
    stage.remove("connection_bin");
    let client = server.connect();
    say(&client, REQUEST);
    assert!(refusal(&rest(&client)).contains("cannot start a process"));
    server.line_with(": cannot start ./connection_bin: no such file");

    // The program is looked up for each client.
    stage.script("connection_bin", "exec cat");
    let client = server.connect();
    assert_eq!(ask(&client, "hello"), "hello");
    assert_eq!(leave(&client), "");
    server.stop();
}

#[test]
fn a_flood_of_clients_is_refused_with_503() {
    let stage = Stage::with_connection("exec cat");
    let server = stage.listen(&["--max-connections", "1"]);
    let served = server.connect();
    assert_eq!(ask(&served, "hello"), "hello");
    // More clients than the server waits for.
    let flood: Vec<_> = (0..80).map(|_| server.connect()).collect();
    for client in &flood {
        refusal(&rest(client));
    }
    assert_eq!(ask(&served, "still there?"), "still there?");
    assert_eq!(leave(&served), "");
    server.stop();
}
