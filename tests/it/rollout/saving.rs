//! A folder of versions that cannot be written, or is damaged.

use super::*;

/// The same command again saves a change that could not be saved, and goes no version further.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_change_is_saved() {
    let fixture = Fixture::new();
    let server = fixture.start("");
    let file = fixture.site.file("v/versioned.wasm");
    let mut digests = vec![digest(&file)];
    fixture.until_kept("versioned", &[true]).await;
    for number in 2..=3 {
        fixture.deploy("v/versioned.wasm", component(number));
        digests.push(digest(&file));
        until_version(&server, "versioned", digests.last().unwrap()).await;
    }
    fixture.until_kept("versioned", &[true, true, true]).await;
    let new = fixture.data.path().join("new.wasm");
    fs::write(&new, component(4)).unwrap();
    let (new, fourth) = (new.to_str().unwrap(), digest(&new));
    let obstacle = fixture.data.path().join("data/versions/index.tmp");
    let changes: [(&[&str], &str, &str); 5] = [
        (&["rollback", "versioned"], "to", &digests[1]),
        (&["shadow", "versioned", new], "digest", &fourth),
        (&["shadow", "versioned", "--stop"], "digest", &fourth),
        (&["canary", "versioned", new, "--share", "50%"], "digest", &fourth),
        (&["promote", "versioned"], "to", &fourth),
    ];
    for (words, key, expected) in changes {
        let command = [words, &["--json"]].concat();
        fs::create_dir(&obstacle).unwrap();
        for _ in 0..2 {
            let failed = fixture.jackfield(&command);
            let answer = failed.json();
            assert_eq!((failed.code, &answer[key]), (Some(1), &json!(expected)), "{failed:?}");
            assert!(answer["save_error"].is_string(), "{answer}");
        }
        assert!(status(&server).await["save_error"].is_string());
        fs::remove_dir(&obstacle).unwrap();
        let again = fixture.jackfield(&command);
        let answer = again.json();
        assert_eq!((again.code, &answer[key]), (Some(0), &json!(expected)), "{again:?}");
        assert_eq!(answer["survives_restart"], true, "{answer}");
        assert_eq!(status(&server).await["save_error"], Value::Null);
    }
    // A change that is saved is no repeated one.
    let refused = fixture.jackfield(&["promote", "versioned"]);
    assert!(refused.code == Some(1) && refused.err.contains("no shadow or canary"), "{refused:?}");
    drop(server);
    let server = fixture.start("");
    assert_eq!(plugin(&server, "versioned").await["digest"], fourth);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_component_is_written_again_by_the_next_start() {
    let fixture = Fixture::new();
    let server = fixture.start("");
    let first = digest(&fixture.site.file("v/versioned.wasm"));
    fixture.until_kept("versioned", &[true]).await;
    drop(server);
    let folder = fixture.data.path().join("data/versions");
    let kept = folder.join(&first["sha256:".len()..]).with_extension("wasm");
    let mut bytes = fs::read(&kept).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&kept, bytes).unwrap();
    let server = fixture.start("");
    within("the component", async {
        while digest(&kept) != first {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    fixture.deploy("v/versioned.wasm", component(2));
    until_version(&server, "versioned", &digest(&fixture.site.file("v/versioned.wasm"))).await;
    fixture.until_kept("versioned", &[true, true]).await;
    assert_eq!(fixture.jackfield(&["rollback", "versioned"]).code, Some(0));
    // A pinned one, by the next change.
    fs::write(&kept, "damaged").unwrap();
    let disabled = fixture.jackfield(&["disable", "versioned", "--json"]).json();
    assert_eq!(disabled["survives_restart"], true, "{disabled}");
    drop(server);
    let server = fixture.start("");
    assert_eq!(plugin(&server, "versioned").await["digest"], first);
}
