//! Database servers for tests: PostgreSQL and MariaDB, installed if they are missing, each in a
//! temporary directory, on a free loopback port, ended by its own process id.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use sqlx::{AssertSqlSafe, Connection as _, MySqlConnection, PgConnection};
use tempfile::TempDir;

use crate::build;
use crate::packages;

/// The id of the system user `nobody`: neither server runs as root.
const NOBODY: u32 = 65_534;

#[derive(Clone, Copy)]
pub enum Database {
    Postgres,
    MariaDb,
}

/// A server that ends with the test.
pub struct Instance {
    database: Database,
    programs: PathBuf,
    port: u16,
    process: Option<Child>,
    directory: TempDir,
}

impl Database {
    /// Returns the folder of its programs.
    fn programs(self) -> Option<PathBuf> {
        match self {
            Self::Postgres => {
                let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
                let folders = versions.flatten().map(|version| version.path().join("bin"));
                folders.filter(|folder| folder.join("postgres").exists()).max()
            }
            Self::MariaDb => {
                let needed = ["sbin/mariadbd", "bin/mariadb-install-db", "bin/my_print_defaults"];
                let usr = PathBuf::from("/usr");
                needed.iter().all(|program| usr.join(program).exists()).then_some(usr)
            }
        }
    }

    /// Returns Debian's packages of the programs. Those of MariaDB start no server of their own.
    fn packages(self) -> &'static str {
        match self {
            Self::Postgres => "postgresql",
            Self::MariaDb => "mariadb-server-core mariadb-client-core",
        }
    }

    /// Installs missing packages, if this is root.
    fn install(self) -> PathBuf {
        packages::ensure(self.packages(), || self.programs())
    }
}

impl Instance {
    pub fn start(database: Database) -> Self {
        let programs = database.install();
        let directory = tempfile::Builder::new()
            .permissions(std::fs::Permissions::from_mode(0o755))
            .prefix("jackfield-sql-")
            .tempdir()
            .unwrap();
        let mut instance = Self { database, programs, port: 0, process: None, directory };
        // Both servers require a directory of their own and a private key.
        let own = instance.path("own");
        std::fs::create_dir(&own).unwrap();
        for file in ["ca.pem", "cert.pem", "key.pem"] {
            let copy = own.join(file);
            std::fs::copy(tls().join(file), &copy).unwrap();
            std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o600)).unwrap();
            give(&copy);
        }
        give(&own);
        instance.create();
        instance.start_again();
        instance
    }

    /// Starts the server, and returns when it accepts connections.
    pub fn start_again(&mut self) {
        // Another program may take a free port before the server listens on it. A restarted
        // instance keeps its port: clients know it.
        for _ in 0..5 {
            let first = self.port == 0;
            if first {
                let free = TcpListener::bind("127.0.0.1:0").unwrap();
                self.port = free.local_addr().unwrap().port();
            }
            let (process, ready, log) = self.launch();
            self.process = Some(process);
            if ready {
                return;
            }
            self.stop();
            assert!(first && log.contains("ddress already in use"), "{log}");
            self.port = 0;
        }
        panic!("no port is free for long enough");
    }

    /// Ends the server at once, as an outage does.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // Its child processes end when they notice.
            process.kill().unwrap();
            process.wait().unwrap();
        }
        // Its successor would mistake the dead process for a running one.
        let _ = std::fs::remove_file(self.path("own/data/postmaster.pid"));
    }

    pub fn database(&self) -> Database {
        self.database
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        match self.database {
            Database::Postgres => {
                format!("postgres://postgres:hunter2@localhost:{}/postgres", self.port)
            }
            Database::MariaDb => format!("mysql://app:hunter2@localhost:{}/app", self.port),
        }
    }

    /// As [`Instance::url`], for clients that accept only certificates signed by the one in `file`.
    pub fn url_vouched_by(&self, file: &str) -> String {
        let (url, file) = (self.url(), tls().join(file));
        let file = file.display();
        match self.database {
            Database::Postgres => format!("{url}?sslmode=verify-full&sslrootcert={file}"),
            Database::MariaDb => format!("{url}?ssl-mode=VERIFY_IDENTITY&ssl-ca={file}"),
        }
    }

    pub async fn run(&self, statements: &[&str]) {
        match self.database {
            Database::Postgres => {
                let mut connection = PgConnection::connect(&self.url()).await.unwrap();
                for statement in statements {
                    let statement = sqlx::query(AssertSqlSafe(*statement));
                    statement.execute(&mut connection).await.unwrap();
                }
            }
            Database::MariaDb => {
                let mut connection = MySqlConnection::connect(&self.url()).await.unwrap();
                for statement in statements {
                    let statement = sqlx::query(AssertSqlSafe(*statement));
                    statement.execute(&mut connection).await.unwrap();
                }
            }
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Creates an empty database with one user, whose password is `hunter2`.
    fn create(&self) {
        let data = self.path("own/data");
        let file = self.path("own/first");
        match self.database {
            Database::Postgres => {
                std::fs::write(&file, "hunter2").unwrap();
                give(&file);
                let mut initdb = unprivileged(&self.programs.join("initdb"));
                initdb.arg("--pgdata").arg(&data).arg("--pwfile").arg(&file);
                initdb.args(["--username=postgres", "--auth=scram-sha-256", "--no-sync"]);
                succeed(initdb.args(["--encoding=UTF8", "--locale=C"]));
            }
            Database::MariaDb => {
                let script = "CREATE DATABASE app CHARACTER SET utf8mb4;\n\
                    CREATE USER app@'%' IDENTIFIED BY 'hunter2';\n\
                    GRANT ALL ON app.* TO app@'%';\n";
                std::fs::write(&file, script).unwrap();
                give(&file);
                let mut install = unprivileged(&self.programs.join("bin/mariadb-install-db"));
                install.arg("--no-defaults").arg(format!("--datadir={}", data.display()));
                install.args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
                succeed(&mut install);
            }
        }
    }

    /// Starts the process. Returns it, whether it accepts connections, and its output until then.
    fn launch(&self) -> (Child, bool, String) {
        let data = self.path("own/data");
        let own = self.path("own");
        let own = own.display();
        let (mut command, ready) = match self.database {
            Database::Postgres => {
                let mut command = unprivileged(&self.programs.join("postgres"));
                command.arg("-D").arg(data).args(["-p", &self.port.to_string()]);
                for setting in [
                    "listen_addresses=127.0.0.1".to_owned(),
                    "unix_socket_directories=".to_owned(),
                    "fsync=off".to_owned(),
                    "ssl=on".to_owned(),
                    format!("ssl_cert_file={own}/cert.pem"),
                    format!("ssl_key_file={own}/key.pem"),
                ] {
                    command.args(["-c", &setting]);
                }
                (command, "ready to accept connections")
            }
            Database::MariaDb => {
                let mut command = unprivileged(&self.programs.join("sbin/mariadbd"));
                command.arg("--no-defaults").arg(format!("--datadir={}", data.display()));
                command.arg(format!("--socket={own}/socket"));
                command.arg(format!("--pid-file={own}/pid")).arg(format!("--port={}", self.port));
                command.args(["--bind-address=127.0.0.1", "--skip-name-resolve"]);
                command.arg(format!("--ssl-cert={own}/cert.pem"));
                command.arg(format!("--ssl-key={own}/key.pem"));
                let first = self.path("own/first");
                if first.exists() {
                    command.arg(format!("--init-file={}", first.display()));
                }
                (command, "ready for connections")
            }
        };
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines =
            BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut log = String::new();
        for line in lines.by_ref() {
            log.push_str(&line);
            log.push('\n');
            if line.contains(ready) {
                // The pipe has to be read, or the server would block.
                #[allow(clippy::disallowed_methods, reason = "it ends with the server")]
                std::thread::spawn(move || lines.for_each(drop));
                let _ = std::fs::remove_file(self.path("own/first"));
                return (process, true, log);
            }
        }
        (process, false, log)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Returns the folder of the databases' certificates.
fn tls() -> PathBuf {
    build::root().join("host/auth/tests/tls")
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout.trim_ascii() == b"0"
}

/// Makes the server's user the owner of a path.
fn give(path: &Path) {
    if is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

fn unprivileged(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    let id = NOBODY.to_string();
    command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]).arg(program).current_dir("/");
    command
}

fn succeed(command: &mut Command) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let said = [stdout, stderr].map(|it| String::from_utf8_lossy(&it).into_owned()).join("\n");
    assert!(status.success(), "{command:?}: {said}");
}
