//! The machine in the doctor's report: the limit of open files, the port, and the running server.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use jackfield_config::{AdminPlace, Config, ListenerPlace};
use jackfield_text::Untrusted;
use serde_json::Value;
use tokio::net::TcpStream;

use super::super::http_exchange::exchange;
use super::finding::Finding;
use super::process::Process;
use crate::open_files;

/// The running server, as its control socket describes it.
pub(super) struct RunningServer {
    pub(super) pid: u32,
    version: String,
    state: String,
    listen: String,
}

impl RunningServer {
    /// Reads the answer of the control socket. None if it has no process.
    pub(super) fn of(status: &Value) -> Option<Self> {
        let text = |key: &str| {
            let text = status.get(key).and_then(Value::as_str).unwrap_or("unknown");
            Untrusted::new(text).at_most(64).to_string()
        };
        Some(Self {
            pid: status.get("pid").and_then(Value::as_u64)?.try_into().ok()?,
            version: text("version"),
            state: text("state"),
            listen: text("listen"),
        })
    }

    /// Its state.
    pub(super) fn control(&self) -> Finding {
        let Self { pid, state, listen, .. } = self;
        Finding::good("control", format!("a server is {state}: pid {pid}, {listen}"))
    }

    /// Its version, compared with that of this command.
    pub(super) fn version(&self) -> Finding {
        let own = env!("CARGO_PKG_VERSION");
        if self.version == own {
            return Finding::good("version", format!("this command and the server are {own}"));
        }
        Finding::warning(
            "version",
            format!("the running server is version {}, and this command is {own}", self.version),
            "restart the server, or call the command of its version",
        )
    }
}

/// The limit of open files, compared with the connections of the settings.
pub(super) fn open_files(config: &Config, process: &Process) -> Finding {
    const CHECK: &str = "files";
    let connections = config.limits.connections;
    match process.open_file_limit() {
        Err(error) => Finding::unchecked(
            CHECK,
            format!("the limit of open files is unknown: {error}"),
            "run the command as root or as the server's user",
        ),
        Ok(limit) => match open_files::fit(connections, limit) {
            fit if fit < connections => Finding::problem(
                CHECK,
                format!(
                    "the limit of open files, {}, allows {fit} connections, and limits.connections is \
                     {connections}",
                    limit.unwrap_or(u64::MAX)
                ),
                format!(
                    "allow {} files (LimitNOFILE= of systemd, `ulimit -Hn`, --ulimit nofile= of \
                     Docker), or lower limits.connections",
                    open_files::needed(connections)
                ),
            ),
            _ => {
                let limit = limit.map_or_else(|| "no limit".to_owned(), |it| it.to_string());
                Finding::good(CHECK, format!("open files: {limit}; connections: {connections}"))
            }
        },
    }
}

/// The queue of connections that the server has not accepted yet, which is full when all clients come
/// back at once.
pub(super) fn queue() -> Finding {
    const CHECK: &str = "queue";
    const FILE: &str = "/proc/sys/net/core/somaxconn";
    /// The clients that may come back at once with no help of the system's settings.
    const ENOUGH: u32 = 1024;
    match std::fs::read_to_string(FILE).map(|text| text.trim().parse::<u32>()) {
        Ok(Ok(length)) if length >= ENOUGH => Finding::good(
            CHECK,
            format!("the system keeps {length} new connections of a port (net.core.somaxconn)"),
        ),
        Ok(Ok(length)) => Finding::warning(
            CHECK,
            format!(
                "the system keeps only {length} new connections of a port (net.core.somaxconn); more \
                 that come at once wait seconds"
            ),
            "set it to 4096: `sysctl -w net.core.somaxconn=4096`, and in a file of /etc/sysctl.d",
        ),
        Ok(Err(_)) | Err(_) => Finding::unchecked(
            CHECK,
            format!("{FILE} cannot be read"),
            "compare net.core.somaxconn with 4096 on a system that is not Linux",
        ),
    }
}

/// The ports, if no server of this site has them. `is_denied` is set if there may be one, whose control
/// socket is for another user.
pub(super) async fn ports(
    config: &Config,
    running: Option<&RunningServer>,
    is_denied: bool,
) -> Vec<Finding> {
    if let Some(running) = running {
        // The address may be that of a socket unit or of the command line.
        let message = format!("the running server listens on {}", running.listen);
        return vec![Finding::good(PORT, message)];
    }
    let mut findings = Vec::new();
    for listener in config.all_listeners() {
        match listener.place {
            ListenerPlace::Address(address) => findings.push(port(address, is_denied).await),
            ListenerPlace::Socket { path, .. } => findings.extend(socket_folder(&path)),
        }
    }
    findings
}

/// The folder of a Unix socket, if it is missing.
fn socket_folder(path: &Path) -> Option<Finding> {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty() && !it.is_dir())?;
    let (path, folder) = (Untrusted::new(path.display()), Untrusted::new(folder.display()));
    Some(Finding::problem(
        PORT,
        format!("the socket {path} cannot be made: the folder {folder} does not exist"),
        "make the folder, or name another path in `listeners[].socket`",
    ))
}

/// The name of the check of a port.
const PORT: &str = "port";

async fn port(listen: SocketAddr, is_denied: bool) -> Finding {
    const CHECK: &str = PORT;
    let error = match TcpListener::bind(listen) {
        Ok(_listener) => return Finding::good(CHECK, format!("{listen} is free")),
        Err(error) => error,
    };
    match error.kind() {
        ErrorKind::AddrInUse if is_denied && is_jackfield(listen).await => Finding::unchecked(
            CHECK,
            format!("a Jackfield listens on {listen}; its site is unknown to this user"),
            "run the command as root or as the server's user",
        ),
        ErrorKind::AddrInUse if is_jackfield(listen).await => Finding::problem(
            CHECK,
            format!("another Jackfield listens on {listen}, for another site"),
            "set `listen` to another port, or stop the other server",
        ),
        ErrorKind::AddrInUse => Finding::problem(
            CHECK,
            format!("another program listens on {listen}"),
            format!("stop it (`ss -ltnp 'sport = :{}'` names it), or set `listen`", listen.port()),
        ),
        ErrorKind::AddrNotAvailable => Finding::problem(
            CHECK,
            format!("this machine has no address {}", listen.ip()),
            "set `listen` to one of `ip address`, to 0.0.0.0 or to [::]",
        ),
        ErrorKind::PermissionDenied => Finding::problem(
            CHECK,
            format!("{listen} is not for this user"),
            "ports below 1024 are for root alone: take another, and a proxy before it",
        ),
        _ => Finding::problem(CHECK, format!("{listen} cannot be used: {error}"), "set `listen`"),
    }
}

/// The address of the admin listener, if the settings name one and no server of this site runs.
pub(super) fn admin_port(config: &Config, running: Option<&RunningServer>) -> Option<Finding> {
    const CHECK: &str = "admin";
    let Some(AdminPlace::Address(address)) = config.admin.listen else { return None };
    if running.is_some() {
        return None;
    }
    let error = TcpListener::bind(address).err()?;
    let help = format!("`ss -ltnp 'sport = :{}'` names the program that has it", address.port());
    Some(Finding::problem(CHECK, format!("admin.listen, {address}, cannot be used: {error}"), help))
}

async fn is_jackfield(listen: SocketAddr) -> bool {
    let asked = async {
        let request =
            format!("GET /health HTTP/1.1\r\nHost: {listen}\r\nConnection: close\r\n\r\n");
        exchange(TcpStream::connect(listen).await?, &request).await
    };
    asked.await.is_ok_and(|answer| answer.body.contains("\"generation\""))
}
