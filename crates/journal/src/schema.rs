//! The tables of a journal. The statements go into the file with their comments, so that
//! `sqlite3 FILE .schema` explains itself. They are part of the format: a journal whose statements
//! differ is refused.

use std::sync::LazyLock;

/// Identifies a file as a journal: `svjl`.
pub(super) const APPLICATION: i32 = 0x7376_6a6c;
/// Version of the tables.
pub(super) const VERSION: i32 = 1;

/// A table. Its first column is the key, and its last one is the checksum `sum`.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    create: &'static str,
    /// All columns but `sum`.
    columns: &'static [&'static str],
    /// Number of leading columns that never change once a row exists.
    fixed: usize,
    sql: LazyLock<Sql>,
}

/// SQL statements for a table.
#[derive(Debug)]
pub(super) struct Sql {
    pub(super) insert: String,
    /// Inserts a row, or replaces the row with the same key.
    pub(super) put: String,
    /// Takes the same parameters as `insert`.
    pub(super) update: String,
    pub(super) delete: String,
    /// Selects all rows, ordered by key.
    pub(super) select: String,
}

/// Invocations of the supervisor.
pub(super) static RUNS: Table = Table {
    name: "runs",
    create: "CREATE TABLE runs (\
        \n  run INTEGER PRIMARY KEY,     -- 1, 2, 3: one for each invocation\
        \n  started INTEGER NOT NULL,    -- microseconds since 1970\
        \n  pid INTEGER NOT NULL,        -- the supervisor's\
        \n  version TEXT NOT NULL,       -- the supervisor's\
        \n  sync TEXT NOT NULL,          -- always, batch or off\
        \n  program TEXT NOT NULL,       -- the worker's words, as JSON\
        \n  digest BLOB,                 -- of the program's file: 128 bits of BLAKE3\
        \n  settings TEXT NOT NULL,      -- by name, as JSON\
        \n  limits TEXT NOT NULL,        -- of a process, as JSON\
        \n  ended INTEGER,               -- as started; NULL: it runs, or died\
        \n  status INTEGER,              -- its exit status\
        \n  sum INTEGER NOT NULL\
        \n) STRICT",
    columns: &[
        "run", "started", "pid", "version", "sync", "program", "digest", "settings", "limits",
        "ended", "status",
    ],
    fixed: 9,
    sql: LazyLock::new(|| Sql::of(&RUNS)),
};

/// Jobs; each has one row, however many runs it takes.
pub(super) static JOBS: Table = Table {
    name: "jobs",
    create: "CREATE TABLE jobs (\
        \n  job INTEGER PRIMARY KEY,     -- 1, 2, 3: in the order they were recorded\
        \n  run INTEGER NOT NULL,        -- in which it was\
        \n  position INTEGER NOT NULL,   -- in the input of that run\
        \n  digest BLOB NOT NULL,        -- what it is known by: 128 bits of BLAKE3;\
        \n                               -- of jobs alike, the first is the first, and so on\
        \n  payload BLOB NOT NULL,       -- what is to be done\
        \n  sum INTEGER NOT NULL\
        \n) STRICT",
    columns: &["job", "run", "position", "digest", "payload"],
    fixed: 5,
    sql: LazyLock::new(|| Sql::of(&JOBS)),
};

/// Attempts of jobs.
pub(super) static ATTEMPTS: Table = Table {
    name: "attempts",
    create: "CREATE TABLE attempts (\
        \n  attempt INTEGER PRIMARY KEY, -- 1, 2, 3: in the order they were recorded\
        \n  run INTEGER NOT NULL,\
        \n  job INTEGER NOT NULL,\
        \n  number INTEGER NOT NULL,     -- which try of the job in this run\
        \n  slot INTEGER NOT NULL,       -- the worker's\
        \n  life INTEGER NOT NULL,       -- the how-many-th worker in that slot\
        \n  pid INTEGER NOT NULL,\
        \n  began INTEGER NOT NULL,      -- nanoseconds since the run began\
        \n  took INTEGER,                -- nanoseconds; NULL: it runs, or nobody knows\
        \n  peak INTEGER,                -- the most memory its worker had held by then, in bytes\
        \n  cause TEXT,                  -- ok, error, exit, timeout, lost, ...; NULL: it runs\
        \n  settles TEXT,                -- ok, failed or crashed: how the job ended by it\
        \n  evidence TEXT,               -- what is known of its end, as JSON; NULL: all is well\
        \n  reply BLOB,                  -- or what a command wrote; or the last words of a worker\
        \n  sum INTEGER NOT NULL\
        \n) STRICT",
    columns: &[
        "attempt", "run", "job", "number", "slot", "life", "pid", "began", "took", "peak", "cause",
        "settles", "evidence", "reply",
    ],
    fixed: 4,
    sql: LazyLock::new(|| Sql::of(&ATTEMPTS)),
};

/// Jobs whose outcome has been written, as ranges.
pub(super) static SENT: Table = Table {
    name: "sent",
    create: "CREATE TABLE sent (\
        \n  first INTEGER PRIMARY KEY,   -- from this job\
        \n  last INTEGER NOT NULL,       -- to this one, the end of each was put out\
        \n  sum INTEGER NOT NULL\
        \n) STRICT",
    columns: &["first", "last"],
    fixed: 1,
    sql: LazyLock::new(|| Sql::of(&SENT)),
};

/// The number of rows that the other tables must have; its one row changes with every commit.
pub(super) static TOTALS: Table = Table {
    name: "totals",
    create: "CREATE TABLE totals (\
        \n  one INTEGER PRIMARY KEY,     -- 1: the only row\
        \n  runs INTEGER NOT NULL,       -- how many rows\
        \n  jobs INTEGER NOT NULL,       -- how many rows\
        \n  attempts INTEGER NOT NULL,   -- how many rows\
        \n  ended INTEGER NOT NULL,      -- attempts of these with a cause\
        \n  settles INTEGER NOT NULL,    -- attempts of these that settled their job\
        \n  sent INTEGER NOT NULL,       -- how many jobs in all ranges\
        \n  sum INTEGER NOT NULL\
        \n) STRICT",
    columns: &["one", "runs", "jobs", "attempts", "ended", "settles", "sent"],
    fixed: 1,
    sql: LazyLock::new(|| Sql::of(&TOTALS)),
};

pub(super) static TABLES: [&Table; 5] = [&RUNS, &JOBS, &ATTEMPTS, &SENT, &TOTALS];

/// Index of attempts by job. Jobs are recorded in order, and so are most attempts, so the index
/// grows at its end.
pub(super) const INDEX: &str = "CREATE INDEX attempts_of_job ON attempts (job)";

/// Returns all statements of the schema.
pub(super) fn statements() -> impl Iterator<Item = &'static str> {
    TABLES.iter().map(|table| table.create).chain([INDEX])
}

impl Table {
    /// Returns the number of columns without `sum`.
    pub(super) fn width(&self) -> usize {
        self.columns.len()
    }

    pub(super) fn column(&self, index: usize) -> &'static str {
        self.columns.get(index).unwrap_or(&"sum")
    }

    pub(super) fn sql(&self) -> &Sql {
        &self.sql
    }

    pub(super) fn select_where(&self, condition: &str) -> String {
        let (columns, key) = (self.columns.join(","), self.columns[0]);
        format!("SELECT {columns},sum FROM {} WHERE {condition} ORDER BY {key}", self.name)
    }
}

impl Sql {
    fn of(table: &Table) -> Self {
        let (name, key) = (table.name, table.columns[0]);
        let places = vec!["?"; table.width() + 1].join(",");
        let named = table.columns.iter().chain([&"sum"]).zip(1..).skip(table.fixed);
        let changed: Vec<_> = named.map(|(column, at)| format!("{column}=?{at}")).collect();
        let changed = changed.join(",");
        Self {
            insert: format!("INSERT INTO {name} VALUES ({places})"),
            put: format!("REPLACE INTO {name} VALUES ({places})"),
            update: format!("UPDATE {name} SET {changed} WHERE {key}=?1"),
            delete: format!("DELETE FROM {name} WHERE {key}=?1"),
            select: table.select_where("true"),
        }
    }
}
