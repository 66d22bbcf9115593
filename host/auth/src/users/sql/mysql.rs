//! User source in MySQL or MariaDB.

use std::str::FromStr;

use futures_util::TryStreamExt as _;
use futures_util::stream::StreamExt as _;
use sqlx::mysql::{MySqlConnectOptions, MySqlPool, MySqlPoolOptions, MySqlRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _, TypeInfo as _, ValueRef as _};

use crate::config::SqlSettings;

use super::{Columns, Row, RowError, uncastable};

/// Tables of OroPlatform, from 1.0 to 7.0. MySQL 5.7.22 or later, MariaDB 10.5 or later: the
/// functions of older versions silently truncate long lists.
pub(super) const ORO: &str = "\
SELECT u.id, u.username, u.password, u.enabled, u.organization_id AS organization,
    (SELECT JSON_ARRAYAGG(r.role) FROM oro_user_access_role ur
        JOIN oro_access_role r ON r.id = ur.role_id WHERE ur.user_id = u.id) AS roles
FROM oro_user u WHERE u.username = ?";

#[derive(Debug)]
pub(super) struct MySqlUsers(MySqlPool);

impl MySqlUsers {
    /// Creates a connection pool. Also returns the database's address for messages. Connects as
    /// `user` if given, otherwise as in the URL.
    pub(super) fn new(
        url: &str,
        user: Option<String>,
        settings: &SqlSettings,
    ) -> Result<(Self, String), sqlx::Error> {
        let options = MySqlConnectOptions::from_str(url)?;
        let options = match user {
            Some(user) => options.username(&user),
            None => options,
        };
        let options = options.disable_statement_logging();
        let place = format!(
            "mysql://{}:{}/{}",
            options.get_host(),
            options.get_port(),
            options.get_database().unwrap_or_default()
        );
        let pool = MySqlPoolOptions::new()
            .max_connections(u32::try_from(settings.connections.get()).unwrap_or(u32::MAX))
            .acquire_timeout(settings.connect_timeout.get())
            .connect_lazy_with(options);
        Ok((Self(pool), place))
    }

    pub(super) async fn row(&self, query: &str, name: &str) -> Result<Option<Row>, RowError> {
        // The operator wrote the statement.
        let query = sqlx::query(AssertSqlSafe(query)).persistent(false).bind(name);
        let rows: Vec<MySqlRow> = query.fetch(&self.0).take(2).try_collect().await?;
        Row::only(&rows)
    }
}

impl Columns for MySqlRow {
    fn has(&self, column: &str) -> bool {
        self.try_column(column).is_ok()
    }

    fn text(&self, column: &str) -> Result<Option<String>, RowError> {
        let value = self.try_get_raw(column)?;
        if value.is_null() {
            return Ok(None);
        }
        let kind = value.type_info().name().to_ascii_uppercase();
        let text = match kind.as_str() {
            "BOOLEAN" | "TINYINT" | "SMALLINT" | "MEDIUMINT" | "INT" | "BIGINT" => {
                self.try_get_unchecked::<i64, _>(column)?.to_string()
            }
            "TINYINT UNSIGNED" | "SMALLINT UNSIGNED" | "MEDIUMINT UNSIGNED" | "INT UNSIGNED"
            | "BIGINT UNSIGNED" => self.try_get_unchecked::<u64, _>(column)?.to_string(),
            // Text of a binary collation has a blob type.
            "CHAR" | "VARCHAR" | "TINYTEXT" | "TEXT" | "MEDIUMTEXT" | "LONGTEXT" | "ENUM"
            | "JSON" | "BINARY" | "VARBINARY" | "TINYBLOB" | "BLOB" | "MEDIUMBLOB" | "LONGBLOB" => {
                let bytes = self.try_get_unchecked::<Vec<u8>, _>(column)?;
                String::from_utf8(bytes).map_err(|_| uncastable(column, &kind))?
            }
            _ => return Err(uncastable(column, &kind)),
        };
        Ok(Some(text))
    }
}
