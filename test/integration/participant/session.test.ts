/** What is particular to the adapter on `pg`: batches, prepared statements, values. */
import pg from "pg";
import type { Step } from "../../../participant/shard/batch.ts";
import { ADD, operation, READ } from "../../participant/shard-contract.ts";
import { ResultTooLarge } from "../../../participant/shard/shard.ts";
import { eventually } from "../../support/wait.ts";
import {
  anyStatement,
  createShard,
  openPool,
  openShard,
  type ShardFixture,
} from "./postgres-fixture.ts";
import { startTcpProxy, throughProxy } from "./tcp-proxy.ts";

let fixture: ShardFixture;

beforeEach(async () => {
  fixture = await createShard({ check: anyStatement, branchConnections: 1 });
});
afterEach(async () => {
  await fixture.close();
});

async function rowOf(sql: string, ...params: Parameters<typeof operation>[1][]): Promise<unknown> {
  const session = await fixture.begin();
  const outcome = await session.execute([operation(sql, ...params)]);
  await session.rollback();
  return outcome.kind === "executed" ? outcome.results[0]!.rows[0] : outcome;
}

test("when BEGIN fails the statements behind it are not run on their own", async () => {
  const pool = openPool(fixture.url);
  const { connection, release } = await pool.take();
  const step = (text: string): Step => ({
    statement: connection.statements.once(text),
    values: [],
  });
  const { end } = await connection.run([
    step("begin isolation level nonsense"),
    step("update items set value = 7 where id = 'a'"),
  ]);
  expect(end.kind).toBe("failed");
  expect(await fixture.valueOf("a")).toBe("100");
  release(true);
  await pool.end();
});

test("rows hold plain values: what a double or JSON cannot carry stays text", async () => {
  const row =
    await rowOf(`select true as bool, 7::int2 as small, 8::int4 as whole, 9007199254740993::int8 as big,
    1.50::numeric as exact, 1.5::float8 as double, 'NaN'::float8 as nan, 'infinity'::float4 as infinite,
    timestamptz '2024-02-03 04:05:06.123456+00' at time zone 'UTC' as at, date '2024-02-03' as day,
    '{"k": [1, null]}'::jsonb as document, null::int as nothing, '\\x01ff'::bytea as bytes,
    array[1, null, 3] as wholes, array[1::int8] as bigs, array['a,b', 'c"d', null] as texts,
    array[[1, 2], [3, 4]] as matrix, 'x'::text as text, array[true] as bools`);
  expect(row).toEqual({
    ...{ bool: true, small: 7, whole: 8, big: "9007199254740993", exact: "1.50", double: 1.5 },
    ...{ nan: "NaN", infinite: "Infinity", at: "2024-02-03 04:05:06.123456", day: "2024-02-03" },
    ...{ document: { k: [1, null] }, nothing: null, bytes: "\\x01ff", wholes: [1, null, 3] },
    ...{ bigs: ["1"], texts: ["a,b", 'c"d', null], text: "x", bools: [true] },
    matrix: [
      [1, 2],
      [3, 4],
    ],
  });
  expect(JSON.parse(JSON.stringify(row))).toEqual(row);
});

test("parameters arrive as they were sent", async () => {
  const text = 'it\'s "quoted" \\ and\nbroken; drop table items --';
  expect(await rowOf("select $1::text as value", text)).toEqual({ value: text });
  expect(await rowOf("select $1::jsonb as value", { a: [1, "x"] })).toEqual({
    value: { a: [1, "x"] },
  });
  expect(await rowOf("select $1::text[] as value", ['a"b', "c\\d", null, "NULL", "{}"])).toEqual({
    value: ['a"b', "c\\d", null, "NULL", "{}"],
  });
  expect(
    await rowOf("select $1::int[] as value", [
      [1, 2],
      [3, 4],
    ]),
  ).toEqual({
    value: [
      [1, 2],
      [3, 4],
    ],
  });
  expect(
    await rowOf(
      "select $1::bool as yes, $2::int8 as big, $3::float8 as part",
      true,
      "9007199254740993",
      0.25,
    ),
  ).toEqual({
    yes: true,
    big: "9007199254740993",
    part: 0.25,
  });
});

test("a text that comes again is a prepared statement from then on, and works the same", async () => {
  const values: unknown[] = [];
  for (let round = 0; round < 4; round += 1)
    values.push(await rowOf("select $1::int + 1 as next", round));
  expect(values).toEqual([{ next: 1 }, { next: 2 }, { next: 3 }, { next: 4 }]);
  const session = await fixture.begin();
  const outcome = await session.execute([
    operation(
      "select count(*)::int as count from pg_prepared_statements where statement like '%+ 1 as next%'",
    ),
  ]);
  expect(outcome).toMatchObject({ results: [{ rows: [{ count: 1 }] }] });
  await session.rollback();
});

test("the same text twice in one branch works, prepared or not", async () => {
  for (let round = 0; round < 3; round += 1) {
    const session = await fixture.begin();
    const outcome = await session.execute([
      operation(ADD, 1, "a"),
      operation(ADD, 1, "a"),
      operation(READ, "a"),
    ]);
    expect(outcome).toMatchObject({ results: [{}, {}, { rows: [{ value: "102" }] }] });
    await session.rollback();
  }
});

test("a statement that fails once works the next time", async () => {
  const sql = "select 10 / $1::int as part";
  expect(await rowOf(sql, 5)).toEqual({ part: 2 });
  for (let round = 0; round < 3; round += 1) {
    expect(await rowOf(sql, 0)).toMatchObject({ kind: "failed", sqlstate: "22012" });
    expect(await rowOf(sql, 2)).toEqual({ part: 5 });
  }
  expect(await rowOf("select no_such_column from items")).toMatchObject({ sqlstate: "42703" });
  expect(await rowOf("select no_such_column from items")).toMatchObject({ sqlstate: "42703" });
});

test("a table that was altered behind a prepared statement costs no branch", async () => {
  const sql = "select * from items where id = $1";
  for (let round = 0; round < 3; round += 1)
    expect(await rowOf(sql, "a")).toEqual({ id: "a", value: "100" });
  await fixture.client.query("alter table items add column color text default 'red'");
  expect(await rowOf(sql, "a")).toEqual({ id: "a", value: "100", color: "red" });
  expect(await rowOf(sql, "a")).toEqual({ id: "a", value: "100", color: "red" });
});

test("a giant value is not taken in to be counted", async () => {
  const proxy = await startTcpProxy(Number(new URL(fixture.url).port));
  const shard = openShard(throughProxy(fixture.url, proxy), { check: anyStatement });
  const session = await shard.begin({ isolation: "read committed", timeoutMs: 30_000 });
  const giant = session.execute([operation("select repeat('x', 200000000)")]);
  await expect(giant).rejects.toThrow(ResultTooLarge);
  // How much was under way when the connection was cut depends on the machine; all of it is too much.
  expect(proxy.bytesToClients()).toBeLessThan(200_000_000);
  await shard.fence();
  await shard.close();
  await proxy.close();
});

test("many different texts do not pile up on a connection", async () => {
  for (let text = 0; text < 300; text += 1) {
    for (let round = 0; round < 2; round += 1) {
      expect(await rowOf(`select ${text} as number`)).toEqual({ number: text });
    }
  }
  const counted = (await rowOf("select count(*)::int as count from pg_prepared_statements")) as {
    count: number;
  };
  expect(counted.count).toBeLessThanOrEqual(201);
});

test("COPY in either direction is a failure, not a hang", async () => {
  for (const sql of ["copy items from stdin", "copy items to stdout"]) {
    const session = await fixture.begin(2_000);
    const outcome = await session.execute([operation(sql)]).catch((error: unknown) => error);
    expect(outcome).not.toMatchObject({ results: [{ rows: [{}] }] });
    await session.rollback();
  }
  expect(await fixture.valueOf("a")).toBe("100");
});

test("an interrupt that comes at any moment harms no later branch on the connection", async () => {
  for (let round = 0; round < 30; round += 1) {
    const session = await fixture.begin();
    const running = session.execute([operation("select pg_sleep($1::float8)", round / 10_000)]);
    setTimeout(() => {
      session.interrupt();
    }, round / 10);
    await running;
    await session.rollback();
    expect(await rowOf(READ, "a")).toEqual({ value: "100" });
  }
});

test("a server that goes away ends the wait, and one that comes back is used", async () => {
  const client = new pg.Client({ connectionString: fixture.url });
  await client.connect();
  await client.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'synod-%' and datname = current_database()",
  );
  await client.end();
  await expect(
    fixture.shard.listPrepared("").catch(() => fixture.shard.listPrepared("")),
  ).resolves.toEqual([]);
  await eventually("the server is asked again", async () => {
    const outcome = await fixture.shard.commitPrepared("synod_test_1-1-9_s1" as never).catch(() => {
      return { kind: "not yet" };
    });
    return outcome.kind === "doesNotExist";
  });
});

test("a read takes no connection of the branches, and the branches take none of the reads", async () => {
  const branch = await fixture.begin();
  await branch.execute([operation("select 1")]);
  const session = await fixture.shard.begin({ isolation: "one snapshot", timeoutMs: 1_000 });
  expect(await session.read([operation("select 1 as one")])).toMatchObject({
    kind: "read",
    results: [{ rows: [{ one: 1 }] }],
  });
  await branch.rollback();
});
