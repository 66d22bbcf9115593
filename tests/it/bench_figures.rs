//! Smoke test of `make bench`: all figures at their smallest points, for this server only. It
//! checks that the measurements work together; the figures themselves mean nothing.

use std::process::Command;

use serde_json::Value;

use jackfield_tests::build;

#[test]
fn bench_measures_and_draws_every_figure() {
    let target = build::jackfield().ancestors().nth(2).unwrap();
    // Components of the measured sites.
    build::plugin("broadcast");
    build::guest("versioned");
    build::guest("methods");
    let python = build::root().join("target/charts/bin/python");
    assert!(python.exists(), "matplotlib is missing: run `make target/charts/stamp`");
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(python)
        .arg(build::root().join("tests/bench"))
        .args(["--smoke", "--target", target.to_str().unwrap()])
        .arg("--work")
        .arg(folder.path().join("work"))
        .arg("--out")
        .arg(folder.path())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");

    let data = std::fs::read_to_string(folder.path().join("performance/data.json")).unwrap();
    let data: Value = serde_json::from_str(&data).unwrap();
    for (name, points) in data["figures"].as_object().unwrap() {
        for point in points.as_array().unwrap() {
            let own = point["series"] != "the floor";
            assert!(!own || point["median"].is_object(), "{name}: {point}\n{said}");
        }
    }
    let page = std::fs::read_to_string(folder.path().join("performance.md")).unwrap();
    let pictures = page.split("](performance/").skip(1).map(|it| it.split(')').next().unwrap());
    for picture in pictures.filter(|it| !["data.json", "soak.svg"].contains(it)) {
        let drawn = std::fs::read_to_string(folder.path().join("performance").join(picture));
        let drawn = drawn.unwrap_or_else(|error| panic!("{picture}: {error}\n{said}"));
        // Text is text, colours follow the reader's scheme, and equal data produce equal files.
        assert!(drawn.contains("</text>"), "{picture}: {drawn}");
        assert!(drawn.contains("@media(prefers-color-scheme:dark){[style*="), "{picture}: {drawn}");
        assert!(!drawn.contains("<dc:date>"), "{picture}: {drawn}");
    }
}
