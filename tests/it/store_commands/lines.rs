//! Exports and imports: whole stores as lines of JSON.

use std::fmt::Write as _;
use std::process::Stdio;

use super::*;

const HEAD: &str = "{\"jackfield_store\":1,\"plugin\":\"hostile\",\"schema\":0,\"entries\":2}\n";

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_imported_as_it_was() {
    let (site, folder) = (site(), tempfile::tempdir().unwrap());
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let data = folder.path().join("data");
    let server = serve(&site, Some(&data), "");
    done(&server, &["set", "hostile", "bytes", "/wA=", "--base64"]);
    done(&server, &["set", "hostile", "line\nbreak \u{1b}", "é\"\n", "--ttl", "1h"]);
    done(&server, &["set", "hostile", "other", "1"]);
    let text = done(&server, &["export", "hostile", "--output", &path("export")]);
    assert!(text.ends_with(" bytes\n"), "{text}");
    let export = fs::read_to_string(path("export")).unwrap();
    assert_eq!(fs::metadata(path("export")).unwrap().permissions().mode() & 0o777, 0o600);
    let lines: Vec<Value> = export.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    let head = json!({ "jackfield_store": 1, "plugin": "hostile", "schema": 0, "entries": 3 });
    assert_eq!((lines.len(), &lines[0]), (4, &head));
    assert_eq!(lines[1], json!({ "key": "bytes", "value": { "base64": "/wA=" } }));
    assert!(lines[2]["expires_ms"].is_u64(), "{export}");
    assert_eq!(lines[3], json!({ "key": "other", "value": "1" }));
    let error = refused(&server, &["export", "hostile", "--output", &path("export")]);
    assert!(error.contains("no file is overwritten"), "{error}");
    let some = done(&server, &["export", "hostile", "--prefix", "o"]);
    assert_eq!(some.lines().count(), 2, "{some}");
    drop(server);

    // Into another server, whose stores are in memory.
    let server = serve(&site, None, "");
    done(&server, &["set", "hostile", "mine", "1"]);
    let merged = done(&server, &["import", "hostile", &path("export")]);
    assert_eq!(merged, "3 keys written, 0 removed\n");
    assert_eq!(done(&server, &["get", "hostile", "mine"]), "1\n");
    let replaced = store(&server, &["import", "hostile", &path("export"), "--replace", "--json"]);
    let replaced = replaced.json();
    assert_eq!((&replaced["written"], &replaced["removed"]), (&json!(3), &json!(1)));
    let again = done(&server, &["export", "hostile"]);
    let without_times = |text: &str| {
        let line = |line| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            line.as_object_mut().unwrap().remove("expires_ms");
            line
        };
        text.lines().map(line).collect::<Vec<_>>()
    };
    assert_eq!(without_times(&again), without_times(&export));
    let log = server.log();
    assert!(log.contains("action=\"store_import\" plugin=\"hostile\" result=\"ok\""), "{log}");

    // From a pipe; an entry that has expired meanwhile is left out.
    let old = format!(
        "{HEAD}{}\n{}\n",
        json!({ "key": "gone", "value": "1", "expires_ms": 1 }),
        json!({ "key": "there", "value": "1", "expires_ms": 9_000_000_000_000_u64 })
    );
    fs::write(path("old"), old).unwrap();
    let socket = server.control_socket();
    let socket = socket.to_str().unwrap();
    let mut piped = command(&["store", "import", "hostile", "-", "--replace", "--socket", socket]);
    piped.stdin(Stdio::from(fs::File::open(path("old")).unwrap()));
    let piped = run(piped);
    assert_eq!(piped.out, "1 key written, 3 removed, 1 had expired\n", "{}", piped.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_store_is_moved_in_parts() {
    let (site, folder) = (site(), tempfile::tempdir().unwrap());
    let file = folder.path().join("large");
    let server = serve(&site, None, "");
    let count = 40_000;
    let mut text = format!(
        "{{\"jackfield_store\":1,\"plugin\":\"hostile\",\"schema\":0,\"entries\":{count}}}\n"
    );
    for number in 0..count {
        let value = "v".repeat(200);
        writeln!(text, "{{\"key\":\"{number:06}\",\"value\":\"{value}\"}}").unwrap();
    }
    fs::write(&file, &text).unwrap();
    let imported = done(&server, &["import", "hostile", file.to_str().unwrap()]);
    assert_eq!(imported, format!("{count} keys written, 0 removed\n"));
    assert!(done(&server, &["export", "hostile"]) == text);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_no_export_change_nothing() {
    let (site, folder) = (site(), tempfile::tempdir().unwrap());
    let settings = "plugins: { named: { hostile: { store: 2KiB } } }\n";
    let server = serve(&site, None, settings);
    done(&server, &["set", "hostile", "mine", "1"]);
    let before = done(&server, &["export", "hostile"]);
    let file = folder.path().join("file");
    let path = file.to_str().unwrap();
    let with = |entries: &str| [HEAD.as_bytes(), entries.as_bytes()].concat();
    let good = "{\"key\":\"a\",\"value\":\"1\"}\n";
    let other = "{\"key\":\"b\",\"value\":\"1\"}\n";
    let large = json!({ "key": "b", "value": "x".repeat(1_900) });
    let cases: Vec<(Vec<u8>, u64, &str)> = vec![
        (vec![], 1, "it is empty"),
        (b"\n".to_vec(), 1, "this is not the head of an export"),
        (b"\xff\x00\x1b[2J".to_vec(), 1, "this is not the head of an export"),
        (good.into(), 1, "this is not the head of an export"),
        (HEAD.replace(":1", ":2").into(), 1, "the form has version 2"),
        (HEAD.replace("hostile", "other").into(), 1, "the export is of the plugin `other`"),
        (HEAD.replace("\"schema\":0", "\"schema\":4").into(), 1, "has the layout (`schema`) 4"),
        (HEAD.replace(":2}", ":99999999999999999999}").into(), 1, "this is not the head"),
        (HEAD.into(), 1, "it ends after 0 of 2 entries"),
        (with(good), 2, "it ends after 1 of 2 entries"),
        (with(&good.repeat(2)), 3, "an earlier line has the key `a`"),
        (with(&format!("{good}{other}{good}")), 4, "this is one more"),
        (with(&format!("{good}{{\"key\":\"b\"")), 3, "this is not an entry"),
        (with(&format!("{good}\n")), 3, "this is not an entry"),
        (with(&format!("{good}{{\"key\":\"b\",\"value\":1}}")), 3, "this is not an entry"),
        (with("{\"key\":\"b\",\"value\":\"\\ud800\"}\n"), 2, "this is not an entry"),
        (with("{\"key\":\"b\",\"value\":\"\",\"x\\u001b\":1}\n"), 2, "this is not an entry"),
        (with(&format!("{good}{large}\n")), 3, "exceed the quota of the store, 2048 bytes"),
        (vec![b'x'; 30 << 20], 1, "a line has at most"),
    ];
    for (contents, line, expected) in cases {
        fs::write(&file, &contents).unwrap();
        let output = store(&server, &["import", "hostile", path, "--replace"]);
        let shown = String::from_utf8_lossy(&contents[..contents.len().min(100)]);
        assert_eq!((output.code, output.out.as_str()), (Some(1), ""), "{shown}");
        let place = format!("{path}:{line}: error: ");
        let is_placed = output.err.starts_with(&place) && output.err.contains(expected);
        assert!(is_placed && !output.err.contains('\u{1b}'), "{shown}: {}", output.err);
        assert!(output.err.ends_with("error: nothing is imported\n"), "{}", output.err);
        let answer = store(&server, &["import", "hostile", path, "--json"]);
        assert_eq!((answer.code, &answer.json()["line"]), (Some(1), &json!(line)), "{shown}");
        assert_eq!(done(&server, &["export", "hostile"]), before, "{shown}");
    }

    let foreign = HEAD.replace("hostile", "other").replace("\"schema\":0", "\"schema\":4");
    fs::write(&file, format!("{foreign}{good}{other}")).unwrap();
    let forced = done(&server, &["import", "hostile", path, "--force"]);
    assert_eq!(forced, "2 keys written, 0 removed\n");
    // All or nothing: each part fits, but not both with what is there.
    let large = json!({ "key": "b", "value": "x".repeat(1_000) });
    let more = json!({ "key": "c", "value": "x".repeat(600) });
    fs::write(&file, format!("{HEAD}{large}\n{more}\n")).unwrap();
    let error = refused(&server, &["import", "hostile", path]);
    assert!(error.contains("its quota is 2048"), "{error}");
    assert_eq!(done(&server, &["get", "hostile", "b"]), "1\n");
    let error = refused(&server, &["import", "hostile", folder.path().to_str().unwrap()]);
    assert!(error.to_lowercase().contains("is a directory"), "{error}");
}

/// Imports from a pipe, into which `write` writes after the server may have answered.
async fn import_from_pipe(
    server: &Server,
    mut write: impl FnMut(&mut std::process::ChildStdin) -> bool + Send + 'static,
) -> std::process::Output {
    let socket = server.control_socket();
    let arguments = ["store", "import", "hostile", "-", "--socket", socket.to_str().unwrap()];
    let mut importing = command(&arguments);
    importing.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = importing.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let (ended, end) = std::sync::mpsc::channel::<()>();
    let writer = std::thread::spawn(move || {
        while write(&mut stdin) {}
        // The pipe stays open until the command has ended.
        let _ended = end.recv();
    });
    let waiting = tokio::task::spawn_blocking(|| child.wait_with_output().unwrap());
    let output = jackfield_tests::client::within("the end of the import", waiting).await.unwrap();
    drop(ended);
    writer.join().unwrap();
    output
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_in_a_line_ends_a_pipe_that_does_not_end() {
    use std::io::Write as _;
    let site = site();
    let server = serve(&site, None, "");
    let lines = "no head\n".repeat(8_192);
    let endless = import_from_pipe(&server, move |pipe| pipe.write_all(lines.as_bytes()).is_ok());
    let mut is_written = false;
    let silent = import_from_pipe(&server, move |pipe| {
        !std::mem::replace(&mut is_written, true) && pipe.write_all(b"no head\n").is_ok()
    });
    let (endless, silent) = tokio::join!(endless, silent);
    for output in [endless, silent] {
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(err.starts_with("-:1: error: this is not the head of an export"), "{err}");
        assert!(err.ends_with("error: nothing is imported\n"), "{err}");
        assert_eq!(output.status.code(), Some(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn transfers_are_bounded_together() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let site = site();
    let server = serve(&site, None, "");
    // More than the buffers of a socket hold.
    for number in 0..8 {
        done(&server, &["set", "hostile", &format!("k{number}"), &"v".repeat(100_000)]);
    }
    let open = async |request: &str| {
        let socket = server.control_socket();
        let mut stream = tokio::net::UnixStream::connect(socket).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    };
    let socket = server.control_socket();
    let unfinished = "POST /v1/store/import?plugin=hostile HTTP/1.1\r\nHost: x\r\n\
                      Content-Length: 900\r\n\r\n{";
    let mut imports = Vec::new();
    for _ in 0..2 {
        imports.push(open(unfinished).await);
    }
    let import = "/v1/store/import?plugin=hostile";
    // The requests before are read in tasks of their own: a place is taken a moment later.
    jackfield_tests::client::within("the limit of imports", async {
        while ask(&socket, "POST", import, "").await.0 != 429 {}
    })
    .await;
    let (_, answer) = ask(&socket, "POST", import, "").await;
    assert_eq!(answer["error"], "jackfield.error.too_many_requests", "{answer}");
    drop(imports);
    jackfield_tests::client::within("a place for an import", async {
        while ask(&socket, "POST", import, "").await.0 == 429 {}
    })
    .await;

    let request = "GET /v1/store/export?plugin=hostile HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut exports = Vec::new();
    for _ in 0..4 {
        let mut stream = open(request).await;
        let mut head = [0; 15];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 200 OK");
        exports.push(stream);
    }
    let error = refused(&server, &["export", "hostile"]);
    assert!(error.contains("4 exports are under way already"), "{error}");
    // Their moment is before this change.
    done(&server, &["delete", "hostile", "--all"]);
    for mut stream in exports {
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert_eq!(text.matches("\"key\":").count(), 8);
    }
    let empty = done(&server, &["export", "hostile"]);
    assert_eq!(empty.lines().count(), 1, "{empty}");
}
