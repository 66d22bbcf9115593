//! Tests that SECURITY.md and docs/reliability.md name: each exists, and each row of a threat that is
//! prevented and of a fault names one.

use std::path::PathBuf;

use jackfield_tests::build;

/// The file of a test, and its name, by the three forms of a reference.
fn place(reference: &str) -> Option<(PathBuf, &str)> {
    let (kind, rest) = reference.split_once(' ')?;
    let by_module = |folder: &str| {
        let (module, name) = rest.rsplit_once("::").unwrap_or_else(|| panic!("{reference}"));
        (build::root().join(folder).join(module.replace("::", "/")).with_extension("rs"), name)
    };
    match kind {
        "it" => Some(by_module("tests/it")),
        "sandbox" => Some(by_module("host/sandbox/tests/it")),
        "unit" => {
            let (file, name) = rest.split_once(' ').unwrap_or_else(|| panic!("{reference}"));
            Some((build::root().join(file), name))
        }
        _ => None,
    }
}

/// Whether a source has a test of this name.
fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim_start).collect();
    let named = format!("fn {name}(");
    lines.windows(2).any(|pair| {
        let is_test = pair[0].starts_with("#[test]") || pair[0].starts_with("#[tokio::test");
        is_test && pair[1].strip_prefix("async ").unwrap_or(pair[1]).starts_with(&named)
    })
}

/// The texts in backticks that refer to tests.
fn references(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|it| !it.contains("NAME") && place(it).is_some())
}

/// The content of a page, and the number of tests that it names, each of which exists.
fn checked(page: &str) -> (String, usize) {
    let text = std::fs::read_to_string(build::root().join(page)).unwrap();
    let mut count = 0;
    for reference in references(&text) {
        let (file, name) = place(reference).unwrap();
        let source = std::fs::read_to_string(&file)
            .unwrap_or_else(|error| panic!("`{reference}`: {}: {error}", file.display()));
        assert!(has_test(&source, name), "`{reference}`: no such test in {}", file.display());
        count += 1;
    }
    (text, count)
}

/// Checks that each row of the tables that end with this column names a test. Returns their number.
fn shown_rows(page: &str) -> usize {
    let (mut is_shown, mut count) = (false, 0);
    for line in page.lines() {
        if !line.starts_with('|') {
            is_shown = false;
        } else if line.ends_with("| shown by |") {
            is_shown = true;
        } else if is_shown && !line.starts_with("|---") {
            assert!(references(line).next().is_some(), "no test shows this:\n{line}");
            count += 1;
        }
    }
    count
}

#[test]
fn every_threat_that_is_prevented_names_tests_that_exist() {
    let (page, tests) = checked("SECURITY.md");
    assert!(tests > 80, "{tests} references are found");
    let rows = shown_rows(&page);
    assert!(rows > 40, "{rows} rows are found");
}

#[test]
fn every_fault_names_tests_that_exist() {
    let (page, tests) = checked("docs/reliability.md");
    let rows = shown_rows(&page);
    assert!(rows >= 15 && tests >= rows, "{tests} references, {rows} rows");
}

#[test]
fn finds_tests_and_no_other_functions() {
    let source =
        "    #[tokio::test(flavor = \"multi_thread\")]\n    async fn one() {}\nfn two() {}\n";
    assert!(has_test(source, "one") && !has_test(source, "two") && !has_test(source, "on"));
    assert_eq!(references("`it a::b` and `it NAME`, `make deny`").count(), 1);
}
