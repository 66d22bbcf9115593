//! Examples of the guide to pages: its first page runs in a browser; TypeScript compiles the
//! others, among them the React hook and the Vue composable.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use super::Browser;
use jackfield_tests::build;
use jackfield_tests::peer;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

/// Returns the guide's code blocks, with their languages.
fn blocks() -> Vec<(String, String)> {
    let guide = fs::read_to_string(build::root().join("docs/browser.md")).unwrap();
    let mut blocks = Vec::new();
    let mut lines = guide.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```") else { continue };
        let code: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        blocks.push((language.to_owned(), code.join("\n") + "\n"));
    }
    blocks
}

/// Returns a folder with the client's package and the packages that the examples import.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let modules = folder.path().join("node_modules");
    fs::create_dir(&modules).unwrap();
    fs::create_dir(modules.join("@types")).unwrap();
    for package in ["@types/react", "csstype", "vue", "@vue", "@babel", "typescript"] {
        let there = peer::installed("node").join("node_modules").join(package);
        symlink(there, modules.join(package)).unwrap();
    }
    symlink(build::root().join("host/browser"), modules.join("jackfield-sync")).unwrap();
    folder
}

/// Compiles the files in the folder, with one of TypeScript's module resolutions.
fn compile(folder: &TempDir, module: &str, resolution: &str) {
    let config = json!({
        "compilerOptions": {
            "strict": true, "noEmit": true, "checkJs": true, "jsx": "react-jsx",
            "target": "es2022", "lib": ["es2022", "dom", "dom.iterable"],
            "module": module, "moduleResolution": resolution, "preserveSymlinks": true,
            "types": [], "skipLibCheck": false,
        },
        "include": ["*.js", "*.ts", "*.tsx"],
    });
    fs::write(folder.path().join("tsconfig.json"), config.to_string()).unwrap();
    let output = Command::new("node")
        .arg(folder.path().join("node_modules/typescript/bin/tsc"))
        .args(["--project", "."])
        .current_dir(folder.path())
        .output()
        .expect("node runs");
    assert!(output.status.success(), "{resolution}: {}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn examples_of_the_guide_compile() {
    let folder = folder();
    let mut found = Vec::new();
    for (number, (language, code)) in blocks().into_iter().enumerate() {
        if ["js", "ts", "tsx"].contains(&language.as_str()) {
            // Each example is a module of its own.
            let code = format!("{code}export {{}};\n");
            fs::write(folder.path().join(format!("{number}.{language}")), code).unwrap();
            found.push(language);
        }
    }
    assert!(found.len() >= 8 && found.contains(&"tsx".to_owned()), "{found:?}");
    compile(&folder, "preserve", "bundler");
}

#[test]
fn page_code_compiles_with_every_module_resolution() {
    let folder = folder();
    fs::copy(build::root().join("tests/browser/types.ts"), folder.path().join("types.ts")).unwrap();
    for (module, resolution) in
        [("preserve", "bundler"), ("nodenext", "nodenext"), ("esnext", "node10")]
    {
        compile(&folder, module, resolution);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_page_of_the_guide_works() {
    let site = Site::open();
    site.write(
        "lobby/websocket_routing.yml",
        "lobby: { channel: 'lobby', handler: { callback: 'broadcast' } }\n",
    );
    let server = Server::start(site.path());
    let mut browser = Browser::start().await;
    let (_, page) = blocks().into_iter().find(|(language, _)| language == "html").unwrap();
    let page = page.replace("127.0.0.1:8080", &server.addr.to_string());
    browser.tell(json!({"do": "serve", "path": "/guide.html", "text": page})).await;
    let url = format!("{}/guide.html", browser.home);
    for name in ["one", "two"] {
        browser.tell(json!({"do": "open", "page": name, "url": url})).await;
    }
    // Two independent windows: a click works when both are connected.
    server.until_health("sessions", 2);
    let shown = "return document.getElementById('latest').textContent;";
    loop {
        browser.click("one", "#say").await;
        browser
            .until("one", "document.getElementById('latest').textContent !== 'nothing yet'")
            .await;
        // Its subscription may have come after the first click.
        if browser.run("two", shown).await != "nothing yet" {
            break;
        }
    }
    for name in ["one", "two"] {
        browser.quiet(name).await;
    }
}
