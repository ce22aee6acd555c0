//! Calls beside deliveries: a test of the settings, and the deletion of a person's rows.

use super::Postgresql;
use super::connection::Session;
use super::errors;
use super::names::{identifier, literal, qualified, quoted};
use crate::exchange::Verdict;
use crate::transport::{Called, Person};
use std::collections::BTreeMap;
use tokio_postgres::Error;
use tokio_postgres::types::{ToSql, Type};

/// The table that a test makes and takes back. No table of a payload has a blank in its name.
const TEST_TABLE: &str = "tributary test";

/// The namespace of email addresses.
const EMAIL: &str = "email";

/// The column with the former id in an alias call.
const PREVIOUS_ID: &str = "previous_id";

/// Which tables of a schema have which of some columns. What is a part of another table is left to that.
const COLUMNS: &str = "SELECT c.relname::text, a.attname::text \
     FROM pg_catalog.pg_attribute a \
     JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE n.nspname::text = $1 AND a.attname::text = ANY($2) AND c.relkind IN ('r', 'p') \
     AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1, 2";

impl Postgresql {
    /// Tries the settings out.
    pub(super) async fn try_settings(&self) -> Called {
        let (response, verdict) = match self.in_time(self.try_out()).await {
            Ok(text) => (text, Verdict::Delivered),
            Err(verdict) => (errors::text(&verdict), verdict),
        };
        self.called(&self.test_statements(), &response, verdict)
    }

    /// What a test does, for people.
    fn test_statements(&self) -> String {
        let make = format!("CREATE SCHEMA {};", quoted(&self.schema));
        format!("BEGIN;\n-- if it is not there:\n{make}\n{}\nROLLBACK;", self.test_table())
    }

    fn test_table(&self) -> String {
        let table = qualified(&self.schema, TEST_TABLE);
        format!("CREATE TABLE {table} (\"id\" text PRIMARY KEY);\nINSERT INTO {table} VALUES ('test');")
    }

    /// Connects, and makes a table with a row, all of which is taken back.
    ///
    /// # Errors
    /// What would become of deliveries.
    async fn try_out(&self) -> Result<String, Verdict> {
        let session = self.connections.take_new().await?;
        let tried = self.make_and_take_back(&session).await;
        self.done(session, tried).await
    }

    async fn make_and_take_back(&self, session: &Session) -> Result<String, Error> {
        let client = &session.client;
        self.connections.begin(session).await?;
        let rows = client
            .query_typed(
                "SELECT current_setting('server_version'), \
                 EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname::text = $1)",
                &[(&self.schema, Type::TEXT)],
            )
            .await?;
        let (version, is_there): (String, bool) = match rows.first() {
            Some(row) => (row.try_get(0)?, row.try_get(1)?),
            None => (String::new(), false),
        };
        if !is_there {
            client.batch_execute(&format!("CREATE SCHEMA {}", quoted(&self.schema))).await?;
        }
        client.batch_execute(&self.test_table()).await?;
        let schema = if is_there { "is there and takes tables" } else { "can be made" };
        Ok(format!("PostgreSQL {version}; the schema {schema}"))
    }

    /// What a deletion does, for people. Identifiers are personal data, so only their names and numbers are shown.
    fn deletion_statements(&self, wanted: &Wanted) -> String {
        let conditions = conditions(wanted.keys().map(String::as_str), wanted);
        let values = wanted.iter().enumerate().map(|(place, (column, sought))| {
            format!("\n-- ${} = values of {column}: {}", place + 1, sought.values.len())
        });
        let schema = literal(&self.schema);
        let values: String = values.collect();
        format!(
            "-- for each table of {schema} with such columns:\nDELETE FROM table WHERE {conditions};{values}"
        )
    }

    /// Deletes a person's rows, of each table in a transaction of its own, with its own time. What was deleted before
    /// something went wrong is deleted; another call goes on with the rest.
    pub(super) async fn delete_person(&self, person: &Person) -> Called {
        let wanted = wanted(person);
        let statements = self.deletion_statements(&wanted);
        let tables = match self.in_time(self.tables_with(&wanted)).await {
            Ok(tables) => tables,
            Err(verdict) => return self.called(&statements, &errors::text(&verdict), verdict),
        };
        let mut report = Report::default();
        for (table, columns) in tables {
            let deleted = self.in_time(self.delete_from(&table, &columns, &wanted)).await;
            let goes_on = !deleted.as_ref().is_err_and(is_outage);
            report.enter(table, deleted);
            if !goes_on {
                break;
            }
        }
        self.called(&statements, &report.text(), report.verdict)
    }

    /// The tables that have columns of those names, with these.
    async fn tables_with(&self, wanted: &Wanted) -> Result<BTreeMap<String, Vec<String>>, Verdict> {
        let session = self.connections.take_new().await?;
        let names: Vec<&str> = wanted.keys().map(String::as_str).collect();
        let rows = session
            .client
            .query_typed(COLUMNS, &[(&self.schema, Type::TEXT), (&names, Type::TEXT_ARRAY)])
            .await;
        let found = rows.and_then(|rows| {
            let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for row in rows {
                tables.entry(row.try_get(0)?).or_default().push(row.try_get(1)?);
            }
            Ok(tables)
        });
        self.done(session, found).await
    }

    async fn delete_from(&self, table: &str, columns: &[String], wanted: &Wanted) -> Result<u64, Verdict> {
        let table = qualified(&self.schema, table);
        let conditions = conditions(columns.iter().map(String::as_str), wanted);
        let statement = format!("DELETE FROM {table} WHERE {conditions}");
        let values = columns.iter().filter_map(|column| wanted.get(column)).map(|sought| &sought.values);
        let values: Vec<&Vec<String>> = values.collect();
        let parameters: Vec<(&(dyn ToSql + Sync), Type)> =
            values.iter().map(|values| (*values as &(dyn ToSql + Sync), Type::TEXT_ARRAY)).collect();
        let session = self.connections.take().await?;
        let deleted = self.delete_by(&session, &statement, &parameters).await;
        self.done(session, deleted).await
    }

    async fn delete_by(
        &self,
        session: &Session,
        statement: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<u64, Error> {
        self.connections.begin(session).await?;
        let count = session.client.execute_typed(statement, parameters).await?;
        session.client.batch_execute("COMMIT").await?;
        Ok(count)
    }

    /// Ends what is open, and keeps the connection if it is good.
    ///
    /// # Errors
    /// What the error means.
    async fn done<T>(&self, session: Session, result: Result<T, Error>) -> Result<T, Verdict> {
        let result = result.map_err(|error| session.verdict(&error, &self.masker));
        if session.client.batch_execute("ROLLBACK").await.is_ok() {
            self.connections.keep(session);
        }
        result
    }
}

/// What a deletion came to.
struct Report {
    /// Rows by table.
    deleted: BTreeMap<String, u64>,
    /// Why tables were left out.
    failed: BTreeMap<String, String>,
    /// The first failure, if there was one.
    verdict: Verdict,
}

impl Default for Report {
    fn default() -> Self {
        Self { deleted: BTreeMap::new(), failed: BTreeMap::new(), verdict: Verdict::Delivered }
    }
}

impl Report {
    fn enter(&mut self, table: String, deleted: Result<u64, Verdict>) {
        match deleted {
            Ok(count) => {
                self.deleted.insert(table, count);
            }
            Err(verdict) => {
                self.failed.insert(table, errors::text(&verdict));
                if self.verdict == Verdict::Delivered {
                    self.verdict = verdict;
                }
            }
        }
    }

    /// As JSON, for people.
    fn text(&self) -> String {
        if self.failed.is_empty() {
            return serde_json::json!({ "deleted": self.deleted }).to_string();
        }
        let then = "call again to go on";
        serde_json::json!({ "deleted": self.deleted, "failed": self.failed, "then": then }).to_string()
    }
}

/// The database seems to be out: the next table would fare no better.
fn is_outage(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Retry { failure, .. } | Verdict::Rejected(failure) | Verdict::Credentials(failure) => {
            failure.outage
        }
        Verdict::Delivered => false,
    }
}

/// The values of a person that may stand in a column.
#[derive(Default)]
struct Sought {
    values: Vec<String>,
    /// They are compared without regard to case and to blanks around them, as identities compare them.
    is_email: bool,
}

/// What is sought, by column.
type Wanted = BTreeMap<String, Sought>;

/// The columns in which a person's identifiers stand by themselves: the column of that name, which the event's own id or
/// its trait has, and the one of a trait in an event's context. The former id of an alias is an id of that person, too.
fn wanted(person: &Person) -> Wanted {
    let mut columns = Wanted::new();
    for (namespace, values) in person {
        // PostgreSQL stores no text with that character, and would refuse to look for one.
        let values: Vec<&String> = values.iter().filter(|value| !value.contains('\0')).collect();
        if values.is_empty() {
            continue;
        }
        let is_email = namespace == EMAIL;
        let is_id = namespace == "user_id" || namespace == "anonymous_id";
        let names = [identifier(namespace), identifier(&format!("context_traits_{namespace}"))];
        for name in names.into_iter().chain(is_id.then(|| PREVIOUS_ID.to_owned())) {
            let sought = columns.entry(name).or_default();
            sought.is_email = is_email;
            let value = |value: &&String| {
                if is_email { value.trim().to_lowercase() } else { (*value).clone() }
            };
            sought.values.extend(values.iter().map(value));
        }
    }
    columns
}

/// That one of these columns has one of the values of its parameter.
fn conditions<'a>(columns: impl Iterator<Item = &'a str>, wanted: &Wanted) -> String {
    let of = |(place, column): (usize, &str)| {
        let text = format!("{}::text", quoted(column));
        let is_email = wanted.get(column).is_some_and(|sought| sought.is_email);
        let text = if is_email { format!("lower(btrim({text}))") } else { text };
        format!("{text} = ANY(${})", place + 1)
    };
    columns.enumerate().map(of).collect::<Vec<_>>().join(" OR ")
}
