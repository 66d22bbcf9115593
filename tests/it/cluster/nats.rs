//! Servers of NATS: Debian's package, each a process on a free port.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use jackfield_tests::client::PATIENCE;
use jackfield_tests::packages;
use serde_json::Value;
use tempfile::TempDir;

/// The time after which a request that may be repeated is repeated.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// A server that ends with the test.
pub(super) struct Nats {
    process: Option<Child>,
    arguments: Vec<String>,
    port: u16,
    /// The folder of JetStream, and of a configuration.
    folder: TempDir,
    /// The port of its monitoring.
    monitor: Option<u16>,
}

impl Nats {
    /// Starts a server.
    pub(super) fn start() -> Self {
        Self::with(free_port(), Vec::new())
    }

    /// Starts a server with JetStream.
    pub(super) fn with_jetstream() -> Self {
        Self::with(free_port(), vec!["-js".to_owned()])
    }

    /// Starts a server with JetStream that takes messages of up to 128 KiB.
    pub(super) fn with_small_messages() -> Self {
        let monitor = free_port();
        let mut server =
            Self::with_config(&format!("max_payload: 131072\nhttp: '127.0.0.1:{monitor}'\n"));
        server.monitor = Some(monitor);
        server
    }

    /// Starts a server with JetStream and a configuration.
    pub(super) fn with_config(config: &str) -> Self {
        packages::installed("nats-server", "nats-server");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("nats.conf");
        fs::write(&file, config).unwrap();
        let arguments = ["-js", "-c", file.to_str().unwrap()].map(str::to_owned).to_vec();
        let mut server =
            Self { process: None, arguments, port: free_port(), folder, monitor: None };
        server.restart();
        server
    }

    /// Starts three servers with JetStream that are one cluster of NATS.
    pub(super) fn three_with_jetstream() -> [Self; 3] {
        let mut number = 0;
        Self::three_and(|| {
            number += 1;
            // A client stays at its own server, whatever happens to it.
            let name = format!("--name=nats-{number}");
            ["-js", "--no_advertise", &name].map(str::to_owned).to_vec()
        })
    }

    /// Starts a server with these arguments.
    pub(super) fn with_arguments(arguments: &[&str]) -> Self {
        Self::with(free_port(), arguments.iter().map(|it| (*it).to_owned()).collect())
    }

    /// Starts three servers that are one cluster of NATS.
    pub(super) fn three() -> [Self; 3] {
        Self::three_and(Vec::new)
    }

    fn three_and(mut more: impl FnMut() -> Vec<String>) -> [Self; 3] {
        let ports = [(); 3].map(|()| free_port());
        let routes = [(); 3].map(|()| free_port());
        let all: Vec<String> = routes.iter().map(|it| format!("nats://127.0.0.1:{it}")).collect();
        [0, 1, 2].map(|index| {
            let own = format!("nats://127.0.0.1:{}", routes[index]);
            let arguments =
                ["--cluster_name", "test", "--cluster", &own, "--routes", &all.join(",")];
            let arguments = arguments.map(str::to_owned).into_iter().chain(more());
            Self::with(ports[index], arguments.collect())
        })
    }

    fn with(port: u16, arguments: Vec<String>) -> Self {
        packages::installed("nats-server", "nats-server");
        let folder = tempfile::tempdir().unwrap();
        let mut server = Self { process: None, arguments, port, folder, monitor: None };
        server.restart();
        server
    }

    /// Starts the server at its port, and waits until it listens.
    pub(super) fn restart(&mut self) {
        let mut command = Command::new("nats-server");
        command.args(["-a", "127.0.0.1", "-p", &self.port.to_string()]).args(&self.arguments);
        command.arg("-sd").arg(self.folder.path());
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.process = Some(process.spawn().unwrap());
        let began = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            assert!(began.elapsed() < PATIENCE, "nats-server does not listen");
            sleep(Duration::from_millis(10));
        }
    }

    /// Lets it have JetStream from its next start on.
    pub(super) fn add_jetstream(&mut self) {
        self.arguments.push("-js".to_owned());
    }

    /// Asks a service of NATS once, and returns its answer.
    pub(super) fn request(&self, subject: &str, request: &Value) -> String {
        self.ask(subject, request, PATIENCE).expect("an answer")
    }

    /// Asks JetStream until it answers without an error: servers that begin to work together do not answer, or
    /// refuse. The request must be one that may be repeated.
    pub(super) fn repeat_request(&self, subject: &str, request: &Value) -> String {
        let began = Instant::now();
        loop {
            match self.ask(subject, request, ANSWER_TIME) {
                Some(answer) if !answer.contains("\"error\"") => return answer,
                answer => assert!(began.elapsed() < PATIENCE, "{subject}: {answer:?}"),
            }
            sleep(Duration::from_millis(200));
        }
    }

    /// Returns the answer to a request; `None` if there is none in this time.
    fn ask(&self, subject: &str, request: &Value, time: Duration) -> Option<String> {
        let mut tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        tcp.set_read_timeout(Some(time)).unwrap();
        let request = request.to_string();
        let length = request.len();
        write!(tcp, "CONNECT {{\"verbose\":false}}\r\nSUB answer 1\r\nPUB {subject} answer {length}\r\n{request}\r\n").unwrap();
        let mut lines = BufReader::new(tcp).lines().map_while(Result::ok);
        lines.find(|it| it.starts_with("MSG "))?;
        lines.next()
    }

    /// Ends the server at once.
    pub(super) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Sends a signal by name, such as `STOP`.
    pub(super) fn signal(&self, name: &str) {
        let id = self.process.as_ref().expect("the server runs").id().to_string();
        let status = Command::new("kill").args([format!("-{name}"), id]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Returns whether a client is connected: an established connection (01) of its port.
    pub(super) fn is_used(&self) -> bool {
        let connections = fs::read_to_string("/proc/net/tcp").unwrap();
        let local = format!("0100007F:{:04X}", self.port);
        connections.lines().any(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            fields.get(1) == Some(&local.as_str()) && fields.get(3) == Some(&"01")
        })
    }

    /// The port of its monitoring.
    pub(super) fn monitor(&self) -> u16 {
        self.monitor.expect("the server was started with it")
    }

    pub(super) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The URL for TLS: certificates of the tests are for `localhost`.
    pub(super) fn tls_url(&self) -> String {
        format!("tls://localhost:{}", self.port)
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(super) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}
