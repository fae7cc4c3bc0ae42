/** What reaches beyond a branch: to another server, to the next user of a connection, to programs that read a result. */
import pg from "pg";
import { pack } from "../../../shared/runtime/channel-frame.ts";
import type { BranchAction, OnePhaseReply } from "../../../shared/model/protocol.ts";
import { LINK, prepareRequest, statementRequest } from "../../participant/node-fixture.ts";
import { ADD, operation, READ } from "../../participant/shard-contract.ts";
import { createTestDatabase } from "../../support/postgres.ts";
import { createShard, type ShardFixture } from "./postgres-fixture.ts";
import { createPostgresNode, type PostgresNode } from "./postgres-node.ts";

let fixture: ShardFixture;
let node: PostgresNode;

beforeEach(async () => {
  fixture = await createShard({ branchConnections: 1 });
  node = createPostgresNode(fixture.shard);
});
afterEach(async () => {
  await node.node.stop();
  await fixture.close();
});

const FAR = {
  update: "update far set n = n + 1",
  within: "with gone as (update far set n = n + 1 returning n) select n from gone",
  read: "select n from far",
} as const;
const NOT_PREPARABLE = { kind: "no", refusal: { code: "not-preparable" } };

/** A table of another server, as one of this database; resolves with how to read it there. */
async function foreignTable(): Promise<() => Promise<number>> {
  const url = new URL(await createTestDatabase());
  const far = new pg.Client({ connectionString: url.href });
  await far.connect();
  await far.query("create table public.far (n int); insert into public.far values (0)");
  await far.end();
  await fixture.client.query(`create extension postgres_fdw;
    create server far foreign data wrapper postgres_fdw
      options (host '${url.hostname}', port '${url.port}', dbname '${url.pathname.slice(1)}');
    create user mapping for current_user server far
      options (user '${url.username}', password '${url.password}');
    create foreign table far (n int) server far options (schema_name 'public')`);
  return async () => {
    const client = new pg.Client({ connectionString: url.href });
    await client.connect();
    const { rows } = await client.query<{ n: number }>("select n from public.far");
    await client.end();
    return rows[0]!.n;
  };
}

const sql = (text: string): BranchAction => ({ kind: "operation", operation: operation(text) });

test("what a branch has written on another server is not committed there before all have voted", async () => {
  const there = await foreignTable();
  expect(await node.execute(1, [operation(FAR.update)])).toMatchObject(NOT_PREPARABLE);
  expect(await node.execute(2, [operation(FAR.within)])).toMatchObject(NOT_PREPARABLE);
  const mixed = [operation(READ, "a"), operation(FAR.update)];
  expect(await node.execute(3, mixed)).toMatchObject(NOT_PREPARABLE);
  await node.node.handle(LINK, statementRequest(4, 1, sql(FAR.update)));
  await node.node.handle(LINK, statementRequest(4, 2, sql("select 1")));
  expect(await node.node.handle(LINK, prepareRequest(4))).toMatchObject({ kind: "no" });
  expect(await there()).toBe(0);
  expect((await node.execute(5, [operation(FAR.read)])).kind).toBe("readOnly");
});

test("what one shard alone has written on another server is written once under a key", async () => {
  const there = await foreignTable();
  const attempt = (sequence: number): Promise<OnePhaseReply> =>
    node.executeOnePhase(sequence, [operation(FAR.update)], "key");
  expect(await attempt(1)).toMatchObject({ kind: "committed", replayed: false });
  expect(await attempt(2)).toMatchObject({ kind: "committed", replayed: true });
  expect(await there()).toBe(1);
});

test("a table that a function makes for itself does not hide the real one from others", async () => {
  await fixture.client.query(`create function scratch() returns void language sql as
    'create temporary table items as select * from synod.items'`);
  const { rows } = await fixture.client.query<{ schema: string }>(
    "select relnamespace::regnamespace::text as schema from pg_class where relname = 'items'",
  );
  expect(rows).toEqual([{ schema: "synod" }]);
  expect(await node.executeOnePhase(1, [operation("select scratch()")])).toMatchObject({
    kind: "committed",
  });
  expect(await node.executeOnePhase(2, [operation(ADD, 5, "a")])).toMatchObject({
    kind: "committed",
  });
  expect(await fixture.valueOf("a")).toBe("105");
});

const nested = (depth: number): string =>
  `select (repeat('[', ${depth}) || '"]{\\""' || repeat(']', ${depth}))::json as document`;
const documentOf = (reply: OnePhaseReply): unknown =>
  "results" in reply && reply.results[0]?.[1]?.rows[0]?.["document"];

test("a document that nests deeper than programs can walk stays text, and is kept and sent like any other", async () => {
  const add = operation(ADD, 1, "a");
  const attempt = (sequence: number, depth: number): Promise<OnePhaseReply> =>
    node.executeOnePhase(sequence, [add, operation(nested(depth))], `key ${depth}`);
  const deep = await attempt(1, 6_000);
  expect(documentOf(deep)).toHaveLength(12_006);
  expect(pack(deep).length).toBeGreaterThan(12_000);
  expect(await attempt(2, 6_000)).toEqual({ ...deep, replayed: true });
  expect(JSON.stringify(documentOf(await attempt(3, 128)))).toHaveLength(262);
  expect(documentOf(await attempt(4, 129))).toHaveLength(264);
  expect(await fixture.valueOf("a")).toBe("103");
});
