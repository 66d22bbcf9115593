//! The size of the file of durable histories.

use jackfield_tests::client::within;

use super::*;

/// Returns the number of events in the file of durable histories, of which a copy is read.
fn events_in(file: &Path) -> u64 {
    let copy = tempfile::tempdir().unwrap();
    for end in ["", "-wal"] {
        let name = format!("history.sqlite3{end}");
        std::fs::copy(file.with_file_name(&name), copy.path().join(&name)).unwrap();
    }
    let count = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM event').fetchone()[0])";
    let mut python = Command::new("python3");
    let output = python.args(["-c", count]).arg(copy.path().join("history.sqlite3")).output();
    String::from_utf8(output.unwrap().stdout).unwrap().trim().parse().unwrap_or(u64::MAX)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_has_no_more_than_the_memory() {
    let (site, data) = (site(), tempfile::tempdir().unwrap());
    let data = data.path().join("data");
    let server = serve(&site, &data, "history: { memory: 1 MiB }\n");
    let mut client = join(&server, Codec::Json).await;
    let text = "x".repeat(20_000);
    for number in 0..1_500 {
        publish(&mut client, &format!("durable/{number}"), json!([text])).await;
    }
    // The file keeps its pages, so the events in it are counted, once the server has compared it.
    let file = data.join("history/history.sqlite3");
    let mut last = "durable/1499".to_owned();
    within("a short file", async {
        while events_in(&file) > 100 {
            last.push_str("-again");
            publish(&mut client, &last, json!([text])).await;
        }
    })
    .await;
    let server = again(server, &site, &data);
    let mut client = join(&server, Codec::Json).await;
    assert_eq!(history(&mut client, &last).await.0, json!([[text]]));
}
