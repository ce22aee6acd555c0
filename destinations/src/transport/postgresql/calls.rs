//! Calls beside deliveries: a test of the settings, and the deletion of a person's rows.

use super::Postgresql;
use super::connection::Session;
use super::errors;
use super::names::{identifier, literal, qualified, quoted};
use crate::exchange::Verdict;
use crate::transport::Person;
use std::collections::BTreeMap;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error};

/// The table that a test makes and takes back.
const TEST_TABLE: &str = "tributary_test";

/// Which tables of a schema have which of some columns. What is a part of another table is left to that.
const COLUMNS: &str = "SELECT c.relname::text, a.attname::text \
     FROM pg_catalog.pg_attribute a \
     JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE n.nspname::text = $1 AND a.attname::text = ANY($2) AND c.relkind IN ('r', 'p') \
     AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1, 2";

impl Postgresql {
    /// What a test does, for people.
    pub(super) fn test_statements(&self) -> String {
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
    pub(super) async fn try_out(&self) -> Result<String, Verdict> {
        let session = self.connections.take_new().await?;
        let tried = self.make_and_take_back(&session).await.map_err(|error| errors::verdict(&error));
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
    pub(super) fn deletion_statements(&self, person: &Person) -> String {
        let wanted = by_column(person);
        let conditions = conditions(wanted.keys().map(String::as_str));
        let values = wanted.iter().enumerate().map(|(place, (column, values))| {
            format!("\n-- ${} = values of {column}: {}", place + 1, values.len())
        });
        let schema = literal(&self.schema);
        let values: String = values.collect();
        format!(
            "-- for each table of {schema} with such columns:\nDELETE FROM table WHERE {conditions};{values}"
        )
    }

    /// Deletes a person's rows, in one transaction.
    ///
    /// # Errors
    /// Why nothing was deleted.
    pub(super) async fn delete_rows(&self, person: &Person) -> Result<String, Verdict> {
        let wanted = by_column(person);
        let session = self.connections.take().await?;
        let deleted = self.delete_by(&session, &wanted).await.map_err(|error| errors::verdict(&error));
        self.done(session, deleted).await
    }

    async fn delete_by(
        &self,
        session: &Session,
        wanted: &BTreeMap<String, Vec<String>>,
    ) -> Result<String, Error> {
        let client = &session.client;
        self.connections.begin(session).await?;
        let names: Vec<&str> = wanted.keys().map(String::as_str).collect();
        let rows =
            client.query_typed(COLUMNS, &[(&self.schema, Type::TEXT), (&names, Type::TEXT_ARRAY)]).await?;
        let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for row in rows {
            tables.entry(row.try_get(0)?).or_default().push(row.try_get(1)?);
        }
        let mut counts = serde_json::Map::new();
        for (table, columns) in tables {
            let count = delete_from(client, &qualified(&self.schema, &table), &columns, wanted).await?;
            counts.insert(table, count.into());
        }
        client.batch_execute("COMMIT").await?;
        Ok(serde_json::json!({ "deleted": counts }).to_string())
    }

    /// Ends what is open, and keeps the connection if it is good.
    async fn done<T>(&self, session: Session, result: T) -> T {
        if session.client.batch_execute("ROLLBACK").await.is_ok() {
            self.connections.keep(session);
        }
        result
    }
}

/// Values by the columns in which they would stand.
fn by_column(person: &Person) -> BTreeMap<String, Vec<String>> {
    let mut columns: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (namespace, values) in person.iter().filter(|(_, values)| !values.is_empty()) {
        columns.entry(identifier(namespace)).or_default().extend(values.iter().cloned());
    }
    columns
}

/// That one of these columns has one of the values of its parameter.
fn conditions<'a>(columns: impl Iterator<Item = &'a str>) -> String {
    let of = |(place, column): (usize, &str)| format!("{}::text = ANY(${})", quoted(column), place + 1);
    columns.enumerate().map(of).collect::<Vec<_>>().join(" OR ")
}

async fn delete_from(
    client: &Client,
    table: &str,
    columns: &[String],
    wanted: &BTreeMap<String, Vec<String>>,
) -> Result<u64, Error> {
    let statement = format!("DELETE FROM {table} WHERE {}", conditions(columns.iter().map(String::as_str)));
    let values: Vec<&Vec<String>> = columns.iter().filter_map(|column| wanted.get(column)).collect();
    let parameters: Vec<(&(dyn ToSql + Sync), Type)> =
        values.iter().map(|values| (*values as &(dyn ToSql + Sync), Type::TEXT_ARRAY)).collect();
    client.execute_typed(&statement, &parameters).await
}
