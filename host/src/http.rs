//! Answers to plain HTTP requests on the WebSocket port: a health check for operators, and a page
//! for people who open it in a browser.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::app::App;
use crate::handshake::Refusal;

/// What a person sees who opens the port in a browser.
const PAGE: &str = "This is Jackfield, a WebSocket server that speaks WAMP.\n\
    It is working: a browser's address bar just is not a WebSocket client.\n\
    Connect with the subprotocol wamp, wamp.2.json, wamp.2.msgpack or wamp.2.cbor.\n";

/// Answers a request that does not ask for a WebSocket.
pub(crate) async fn answer(app: &App, stream: &mut TcpStream, method: &str, path: &str) {
    let (status, kind, body) = match (method, path) {
        ("GET" | "HEAD", "/health") => ("200 OK", "application/json", health(app)),
        ("GET" | "HEAD", _) => ("426 Upgrade Required", "text/plain", PAGE.to_owned()),
        _ => ("405 Method Not Allowed", "text/plain", "use GET\n".to_owned()),
    };
    let header = match status {
        "426 Upgrade Required" => "Upgrade: websocket\r\n",
        "405 Method Not Allowed" => "Allow: GET, HEAD\r\n",
        _ => "",
    };
    respond(stream, status, header, kind, &body, method == "HEAD").await;
}

/// Answers a request that was refused.
pub(crate) async fn refuse(stream: &mut TcpStream, refusal: &Refusal) {
    let body = format!("{}\n", refusal.message);
    respond(stream, refusal.status, refusal.header, "text/plain", &body, false).await;
}

/// The state of the server, without anything that is not everybody's business: this port is open
/// to browsers.
fn health(app: &App) -> String {
    let state = app.reload_state();
    serde_json::json!({
        "status": "ok",
        "generation": state.generation,
        "reload": if state.problems.is_empty() { "ok" } else { "failed" },
    })
    .to_string()
}

async fn respond(
    stream: &mut TcpStream,
    status: &str,
    header: &str,
    kind: &str,
    body: &str,
    head_only: bool,
) {
    let length = body.len();
    let body = if head_only { "" } else { body };
    let response = format!(
        "HTTP/1.1 {status}\r\n{header}Content-Type: {kind}; charset=utf-8\r\n\
         Content-Length: {length}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n{body}"
    );
    // Whoever asked and does not wait for the answer does not get one.
    let _gone = stream.write_all(response.as_bytes()).await;
    let _gone = stream.shutdown().await;
}
