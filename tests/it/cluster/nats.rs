//! Servers of NATS: Debian's package, each a process on a free port.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use jackfield_tests::client::PATIENCE;
use jackfield_tests::packages;

/// A server that ends with the test.
pub(super) struct Nats {
    process: Option<Child>,
    arguments: Vec<String>,
    port: u16,
}

impl Nats {
    /// Starts a server.
    pub(super) fn start() -> Self {
        Self::with(free_port(), Vec::new())
    }

    /// Starts a server with these arguments.
    pub(super) fn with_arguments(arguments: &[&str]) -> Self {
        Self::with(free_port(), arguments.iter().map(|it| (*it).to_owned()).collect())
    }

    /// Starts three servers that are one cluster of NATS.
    pub(super) fn three() -> [Self; 3] {
        let ports = [(); 3].map(|()| free_port());
        let routes = [(); 3].map(|()| free_port());
        let all: Vec<String> = routes.iter().map(|it| format!("nats://127.0.0.1:{it}")).collect();
        [0, 1, 2].map(|index| {
            let own = format!("nats://127.0.0.1:{}", routes[index]);
            let arguments =
                ["--cluster_name", "test", "--cluster", &own, "--routes", &all.join(",")];
            Self::with(ports[index], arguments.map(str::to_owned).to_vec())
        })
    }

    fn with(port: u16, arguments: Vec<String>) -> Self {
        packages::installed("nats-server", "nats-server");
        let mut server = Self { process: None, arguments, port };
        server.restart();
        server
    }

    /// Starts the server at its port, and waits until it listens.
    pub(super) fn restart(&mut self) {
        let mut command = Command::new("nats-server");
        command.args(["-a", "127.0.0.1", "-p", &self.port.to_string()]).args(&self.arguments);
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.process = Some(process.spawn().unwrap());
        let began = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            assert!(began.elapsed() < PATIENCE, "nats-server does not listen");
            sleep(Duration::from_millis(10));
        }
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
