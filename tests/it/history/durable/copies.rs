//! Files that are not those that the server has left: backups that were restored, and files that are gone.

use super::*;

async fn count_up(server: &Server, topic: &str, numbers: std::ops::Range<u64>) {
    let mut client = join(server, Codec::Json).await;
    for number in numbers {
        publish(&mut client, topic, json!([number])).await;
    }
}

fn end(mut server: Server, signal: &str) {
    server.signal(signal);
    // A kill has no exit code.
    assert_eq!(server.exit_code(), (signal == "TERM").then_some(0));
}

/// Copies a folder with all times, over the files that are there: their inodes stay.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status();
    assert!(copied.unwrap().success());
}

/// Each client that returns after the backup must not be told that it has missed nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_backup_begins_new_epochs() {
    for (topic, part, signal) in [
        ("durable/a", "history", "TERM"),
        ("durable/a", "history", "KILL"),
        ("durable/a", "", "TERM"),
        ("kept/a", "", "TERM"),
    ] {
        let (site, root) = (site(), tempfile::tempdir().unwrap());
        let (data, backup) = (root.path().join("data"), root.path().join("backup"));
        std::fs::create_dir(&backup).unwrap();
        let server = serve(&site, &data, "");
        count_up(&server, topic, 0..10).await;
        let (_, first) = history(&mut join(&server, Codec::Json).await, topic).await;
        end(server, signal);
        copy(&data.join(part), &backup);
        let server = serve(&site, &data, "");
        let (_, position) = history(&mut join(&server, Codec::Json).await, topic).await;
        assert_eq!(position, first, "{topic} {signal}: its own files are believed");
        count_up(&server, topic, 10..15).await;
        end(server, signal);
        if part.is_empty() && topic.starts_with("kept") {
            std::fs::remove_dir_all(&data).unwrap();
            std::fs::rename(&backup, &data).unwrap();
        } else {
            copy(&backup, &data.join(part));
        }
        let server = serve(&site, &data, "");
        count_up(&server, topic, 20..27).await;
        for offset in [8, 12, 15] {
            let mut client = join(&server, Codec::Json).await;
            let since = json!({ "_since": { "epoch": first["epoch"], "offset": offset } });
            client.subscribe(topic, since).await;
            let answer = stream(&mut client).await;
            assert_eq!(answer["recovered"], false, "{topic} {part} {signal} {offset}");
        }
    }
}

/// The folder is gone while the server runs: a restart would not find what is saved.
#[tokio::test(flavor = "multi_thread")]
async fn publications_are_refused_when_the_file_is_gone() {
    let (site, data) = (site(), tempfile::tempdir().unwrap());
    let data = data.path().join("data");
    let server = serve(&site, &data, "");
    let mut client = join(&server, Codec::Json).await;
    publish(&mut client, "durable/a", json!([1])).await;
    assert_eq!(server.health()["histories"], "ok");
    std::fs::remove_dir_all(data.join("history")).unwrap();
    let refused = jackfield_tests::client::within("a refusal", async {
        loop {
            let sent = client.publish_acknowledged("durable/a", json!({}), json!([2]), Value::Null);
            if let Err(error) = sent.await {
                return error.uri;
            }
        }
    });
    assert_eq!(refused.await, "jackfield.error.history_failed");
    server.logged("the file or its log was removed or replaced");
    server.until_health("histories", "failed");
    // Other topics go on.
    publish(&mut client, "kept/a", json!([1])).await;
    end(server, "TERM");
    let server = serve(&site, &data, "");
    let mut client = join(&server, Codec::Json).await;
    assert_eq!(history(&mut client, "durable/a").await.0, json!([]));
    publish(&mut client, "durable/a", json!([3])).await;
    assert_eq!(server.health()["histories"], "ok");
}
