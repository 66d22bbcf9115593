//! User source in PostgreSQL.

use std::str::FromStr;

use futures_util::TryStreamExt as _;
use futures_util::stream::StreamExt as _;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _, TypeInfo as _, ValueRef as _};

use crate::config::SqlSettings;

use super::{Columns, Row, RowError, uncastable};

/// Tables of OroPlatform, from 1.0 to 7.0.
pub(super) const ORO: &str = "\
SELECT u.id, u.username, u.password, u.enabled, u.organization_id AS organization,
    (SELECT json_agg(r.role) FROM oro_user_access_role ur
        JOIN oro_access_role r ON r.id = ur.role_id WHERE ur.user_id = u.id) AS roles
FROM oro_user u WHERE u.username = $1";

#[derive(Debug)]
pub(super) struct PostgresUsers(PgPool);

impl PostgresUsers {
    /// Creates a connection pool. Also returns the database's address for messages. Connects as
    /// `user` if given, otherwise as in the URL.
    pub(super) fn new(
        url: &str,
        user: Option<String>,
        settings: &SqlSettings,
    ) -> Result<(Self, String), sqlx::Error> {
        let options = PgConnectOptions::from_str(url)?;
        let options = match user {
            Some(user) => options.username(&user),
            None => options,
        };
        let options = options.application_name("jackfield").disable_statement_logging();
        let place = format!(
            "postgres://{}:{}/{}",
            options.get_host(),
            options.get_port(),
            options.get_database().unwrap_or_default()
        );
        let pool = PgPoolOptions::new()
            .max_connections(u32::try_from(settings.connections.get()).unwrap_or(u32::MAX))
            .acquire_timeout(settings.connect_timeout.get())
            .connect_lazy_with(options);
        Ok((Self(pool), place))
    }

    pub(super) async fn row(&self, query: &str, name: &str) -> Result<Option<Row>, RowError> {
        // The operator wrote the statement. It is not kept prepared, so that it works through
        // poolers that share connections.
        let query = sqlx::query(AssertSqlSafe(query)).persistent(false).bind(name);
        let rows: Vec<PgRow> = query.fetch(&self.0).take(2).try_collect().await?;
        Row::only(&rows)
    }
}

impl Columns for PgRow {
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
            "INT2" => self.try_get::<i16, _>(column)?.to_string(),
            "INT4" => self.try_get::<i32, _>(column)?.to_string(),
            "INT8" => self.try_get::<i64, _>(column)?.to_string(),
            "BOOL" => self.try_get::<bool, _>(column)?.to_string(),
            "TEXT" | "VARCHAR" | "CHAR" | "BPCHAR" | "NAME" | "CITEXT" | "JSON" => {
                self.try_get_unchecked::<String, _>(column)?
            }
            // One byte with the format's version, then the same text as JSON.
            "JSONB" => {
                let text = self.try_get_unchecked::<String, _>(column)?;
                text.trim_start_matches('\u{1}').to_owned()
            }
            "UUID" => uuid(value.as_bytes().unwrap_or_default())
                .ok_or_else(|| uncastable(column, &kind))?,
            _ => return Err(uncastable(column, &kind)),
        };
        Ok(Some(text))
    }
}

/// Formats a UUID as PostgreSQL does.
fn uuid(bytes: &[u8]) -> Option<String> {
    let number = u128::from_be_bytes(bytes.try_into().ok()?);
    let digits = format!("{number:032x}");
    let part = |range| digits.get(range);
    let (a, b, c) = (part(0..8)?, part(8..12)?, part(12..16)?);
    Some(format!("{a}-{b}-{c}-{}-{}", part(16..20)?, part(20..32)?))
}
