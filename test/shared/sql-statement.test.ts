import { LIMITS } from "../../shared/model/api.ts";
import { checkStatement, loadSqlParser } from "../../shared/runtime/sql-statement.ts";

beforeAll(loadSqlParser);

const refusal = (sql: string): string => {
  const verdict = checkStatement(sql);
  return verdict.ok ? "allowed" : `${verdict.code}: ${verdict.sentence}`;
};

test.each([
  "select 1",
  "SELECT * FROM accounts WHERE id = $1 FOR UPDATE",
  "select * from accounts where id = $1 for no key update skip locked",
  "insert into accounts (id, balance) values ($1, $2) on conflict do nothing returning id",
  "update accounts set balance = balance - $1 where id = $2",
  "delete from accounts where id = any($1)",
  "merge into accounts a using incoming i on a.id = i.id when matched then do nothing",
  "values (1), (2)",
  "table accounts",
  "with gone as (delete from a returning *) insert into b select * from gone",
  "/* commit; */ select 'commit; rollback' -- begin",
  "select 1;",
  "select pg_advisory_xact_lock(1), pg_try_advisory_xact_lock(2)",
  "select set_config('app.user', $1, true)",
  "select set_config('TimeZone', 'UTC', true)",
  "select nextval('s'), pg_sleep(0)",
  `select "PG_NOTIFY"(1)`,
])("allows %s", (sql) => {
  expect(refusal(sql)).toBe("allowed");
});

test.each([
  ["COMMIT", "commit"],
  ["COMMIT", "  /* x */ end"],
  ["ROLLBACK", "rollback"],
  ["BEGIN", "begin"],
  ["START", "start transaction"],
  ["SAVEPOINT", "savepoint a"],
  ["PREPARE TRANSACTION", "prepare transaction 'x'"],
  ["COMMIT PREPARED", "commit prepared 'x'"],
  ["ROLLBACK PREPARED", "rollback prepared 'x'"],
  ["CREATE TABLE", "create table t (a int)"],
  ["CREATE TABLE AS", "create table t as select 1"],
  ["ALTER TABLE", "alter table t add b int"],
  ["DROP", "drop table t"],
  ["TRUNCATE", "truncate t"],
  ["CREATE INDEX", "create index on t (a)"],
  ["COPY", "copy t from program 'x'"],
  ["DO", "do $$ begin end $$"],
  ["CALL", "call p()"],
  ["SET", "set local lock_timeout = 0"],
  ["SET", "set session characteristics as transaction read only"],
  ["RESET", "reset all"],
  ["SHOW", "show all"],
  ["LISTEN", "listen c"],
  ["UNLISTEN", "unlisten *"],
  ["NOTIFY", "notify c"],
  ["LOCK", "lock table t"],
  ["PREPARE", "prepare p as select 1"],
  ["EXECUTE", "execute p"],
  ["DEALLOCATE", "deallocate p"],
  ["EXPLAIN", "explain analyze delete from t"],
  ["DECLARE CURSOR", "declare c cursor for select 1"],
  ["FETCH", "fetch c"],
  ["VACUUM", "vacuum"],
  ["ANALYZE", "analyze"],
  ["DISCARD", "discard all"],
  ["CHECKPOINT", "checkpoint"],
  ["GRANT or REVOKE", "grant select on t to public"],
  ["REFRESH MAT VIEW", "refresh materialized view v"],
])("refuses %s and names it", (words, sql) => {
  expect(refusal(sql)).toMatch(`statement-not-allowed: ${words} is not allowed`);
});

test.each([
  "select 1 into t",
  "with a as (select 1 into t) select 1",
  "select 1 into temp t union select 2",
])("refuses a SELECT that creates a table: %s", (sql) => {
  expect(refusal(sql)).toMatch(/^statement-not-allowed: SELECT INTO/);
});

test.each(["select 1; select 2", "select 1; commit", "update t set a = 1; update t set a = 2;"])(
  "refuses more than one statement: %s",
  (sql) => {
    expect(refusal(sql)).toBe(
      "statement-not-allowed: there are 2 statements where exactly one is allowed",
    );
  },
);

test.each(["", "   ", "-- nothing", ";", "/* a */ ;;"])(
  "refuses no statement at all: '%s'",
  (sql) => {
    expect(refusal(sql)).toBe("statement-not-allowed: the statement is empty");
  },
);

test.each([
  ["pg_notify", "select pg_notify('c', 'x')"],
  ["pg_notify", `select pg_catalog."pg_notify"('c', 'x')`],
  ["pg_notify", "update t set a = (select 1 from PG_Notify('c', 'x'))"],
  ["pg_advisory_lock", "select pg_advisory_lock(1)"],
  ["pg_try_advisory_lock_shared", "select pg_try_advisory_lock_shared(1)"],
  ["pg_advisory_unlock_all", "select pg_advisory_unlock_all()"],
  ["dblink_exec", "select dblink_exec('', 'commit')"],
  ["dblink", "select * from dblink('', 'x') as t(a int)"],
  ["lo_import", "select lo_import('/etc/passwd')"],
  ["lo_export", "insert into t select lo_export(1, '/tmp/x')"],
  ["pg_read_file", "select 1 where pg_read_file('x') = 'y'"],
  ["pg_read_binary_file", "values (pg_read_binary_file('x'))"],
  ["pg_ls_dir", "with a as (select pg_ls_dir('.')) select * from a"],
  ["pg_terminate_backend", "delete from t returning pg_terminate_backend(1)"],
  ["pg_cancel_backend", "select case when true then pg_cancel_backend(1) end"],
  ["pg_export_snapshot", "select pg_export_snapshot()"],
  ["pg_logical_emit_message", "select pg_logical_emit_message(false, 'a', 'b')"],
  ["pg_drop_replication_slot", "select pg_drop_replication_slot('s')"],
  ["query_to_xml", "select query_to_xml('select pg_advisory_lock(1)', true, true, '')"],
])("refuses the function %s wherever it is called", (name, sql) => {
  expect(refusal(sql)).toBe(
    `statement-not-allowed: the function ${name} is not allowed: it reaches beyond the transaction`,
  );
});

test.each([
  ["pg_advisory_lock", "select (5::int8).pg_advisory_lock"],
  ["pg_advisory_lock", "select x.pg_advisory_lock from generate_series(5::int8, 5::int8) as x"],
  ["pg_read_file", "update t set a = 1 where (id::text).pg_read_file is not null"],
  ["pg_terminate_backend", "select ((array[1, 2])[1]).pg_terminate_backend"],
  ["ts_stat", "select ('select a from t'::text).ts_stat"],
  ["dblink_exec", "with a as (select $1::text as b) select (a.b).dblink_exec from a"],
])("refuses the function %s in attribute notation, which calls it as well", (name, sql) => {
  expect(refusal(sql)).toBe(
    `statement-not-allowed: the name ${name} is not allowed behind a dot, where it may call a function that reaches beyond the transaction`,
  );
});

test("a table or column may bear the name of such a function", () => {
  expect(refusal("select dblink from dblink")).toBe("allowed");
  expect(refusal("select crosstab.total from crosstab")).toBe("allowed");
});

test.each([
  ["is_local", "select set_config('app.user', 'x', false)"],
  ["is_local", "select set_config('app.user', 'x', $1)"],
  ["is_local", "select set_config('app.user', 'x', 'true')"],
  ["is_local", "select set_config(is_local => true, setting_name => 'a.b', new_value => '')"],
  ["literal name", "select set_config($1, 'x', true)"],
  ["dot in the name", "select set_config('role', 'other', true)"],
  ["dot in the name", "select set_config('synchronous_commit', 'off', true)"],
])("refuses set_config unless it is local and harmless (%s)", (words, sql) => {
  expect(refusal(sql)).toMatch(/^statement-not-allowed: the function set_config/);
  expect(refusal(sql)).toMatch(words);
});

test("refuses an update of pg_settings, which is a SET in disguise", () => {
  const sql = "update pg_settings set setting = 'off' where name = 'synchronous_commit'";
  expect(refusal(sql)).toMatch(/^statement-not-allowed: writing to pg_settings/);
});

test("tells a syntax error in the parser's words, without the rest of the text", () => {
  expect(refusal("selec secret from t")).toBe('sql-error: syntax error at or near "selec"');
  expect(refusal("select 'open")).toMatch(/^sql-error: unterminated quoted string/);
});

test("refuses a NUL character, behind which the server would read nothing", () => {
  expect(refusal("select 1\0; commit")).toBe("sql-error: the statement holds a NUL character");
});

test("refuses half of a character, which the server would read as another one", () => {
  expect(refusal("select '\ud83d'")).toBe(
    "sql-error: the statement holds half of a character (a lone surrogate)",
  );
  expect(refusal("select '\ud83d\ude00'")).toBe("allowed");
});

test("counts the parameters that a statement takes", () => {
  expect(checkStatement("select $1, ($3::int), $2 from t where a = $3")).toMatchObject({
    ok: true,
    parameterCount: 3,
  });
  expect(checkStatement("select '$9'")).toMatchObject({ ok: true, parameterCount: 0 });
});

test.each([
  "select set_config('app.user', $1, true)",
  "select pg_catalog.SET_CONFIG('app.user', 'x', true)",
  `select U&"set\\005fconfig"('app.user', 'x', true)`,
  "insert into t select txid_current()",
  "with w as (select pg_current_xact_id()) update t set a = 1",
  "select pg_current_snapshot()",
])("%s could tell, or change, what else its Postgres transaction holds", (sql) => {
  expect(checkStatement(sql)).toMatchObject({ ok: true, mayShare: false });
});

test.each([
  "update t set touched = now() where note = 'set_config'",
  "select txid_current from t",
  "select current_setting('app.user')",
])("%s may share its Postgres transaction", (sql) => {
  expect(checkStatement(sql)).toMatchObject({ ok: true, mayShare: true });
});

test("reads a wide statement of a thousand parameters", () => {
  const rows = Array.from({ length: 500 }, (_, row) => `($${row * 2 + 1}, $${row * 2 + 2})`);
  const verdict = checkStatement(`insert into t (a, b) values ${rows.join(",")}`);
  expect(verdict).toMatchObject({ ok: true, parameterCount: 1000 });
});

test.each([
  ["select 1", ["select"]],
  ["values (1)", ["select"]],
  ["select 1 union select 2", ["select"]],
  ["insert into t select * from u", ["insert"]],
  ["insert into t values (1) on conflict (a) do nothing", ["insert"]],
  ["insert into t values (1) on conflict (a) do update set a = 2", ["insert", "update"]],
  ["update t set a = (select 1)", ["update"]],
  ["delete from t", ["delete"]],
  ["merge into t using u on true when matched then delete", ["merge"]],
  ["select * from t for no key update", ["select", "update"]],
  ["select * from (select * from t for share) x", ["select", "update"]],
  [
    "with x as (delete from t returning a), y as (insert into u select a from x) select 1",
    ["delete", "insert", "select"],
  ],
  ["with x as (select 1) update t set a = 1", ["update"]],
  ['select \'delete from t\', "update" from "insert"', ["select"]],
])("%s belongs to all classes of which it does something", (sql, classes) => {
  const verdict = checkStatement(sql);
  expect(verdict.ok && [...verdict.classes].sort()).toEqual(classes);
});

const nestings: Record<string, (depth: number) => string> = {
  sums: (depth) => `select 1${"+1".repeat(depth)}`,
  calls: (depth) => `select ${"f(".repeat(depth)}1${")".repeat(depth)}`,
  subscripts: (depth) => `select a${"[a".repeat(depth)}${"]".repeat(depth)}`,
  selects: (depth) => `select${"(select".repeat(depth)} 1${")".repeat(depth)}`,
  negations: (depth) => `select ${"not ".repeat(depth)}true`,
  casts: (depth) => `select 1${"::x".repeat(depth)}`,
  "brackets hidden by a text": (depth) => `select ${"f(')',".repeat(depth)}1${")".repeat(depth)}`,
  unions: (depth) => `select 1${" union select 1".repeat(depth)}`,
};

test.each(Object.keys(nestings))("survives the deepest nesting of %s that fits", (name) => {
  const nest = nestings[name]!;
  let depth = 1;
  while (nest(depth + 1).length <= LIMITS.maxSqlLength) depth += 1;
  expect(refusal(nest(depth))).toMatch(/^allowed$|^sql-error: the statement is nested too deeply$/);
  expect(refusal(nest(20))).toBe("allowed");
});

test("refuses a text beyond the limit without parsing it", () => {
  expect(refusal(`select '${"x".repeat(LIMITS.maxSqlLength)}'`)).toMatch(
    /^sql-error: .* longer than/,
  );
});

test("answers the same from its cache, also after thousands of other statements", () => {
  const first = checkStatement("select 42 as kept");
  for (let index = 0; index < 5_000; index += 1) checkStatement(`select ${index}`);
  expect(checkStatement("select 42 as kept")).toEqual(first);
  expect(refusal("commit")).toMatch(/COMMIT is not allowed/);
});
