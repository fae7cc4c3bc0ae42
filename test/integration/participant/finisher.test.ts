/** Many branches finished at once, on fewer connections than there are branches. */
import type { GlobalId } from "../../../shared/model/ids.ts";
import { operation } from "../../participant/shard-contract.ts";
import { gidOf } from "../../participant/node-fixture.ts";
import { ShardUnreachable } from "../../../participant/shard/shard.ts";
import { createShard, openPool, openShard, type ShardFixture } from "./postgres-fixture.ts";
import { startTcpProxy, throughProxy } from "./tcp-proxy.ts";

const BRANCHES = 24;
const UNKNOWN = 13;

let fixture: ShardFixture;

beforeEach(async () => {
  fixture = await createShard();
});
afterEach(async () => {
  await fixture.close();
});

async function prepareEntry(sequence: number): Promise<GlobalId> {
  const gid = gidOf(sequence);
  const session = await fixture.begin();
  const insert = operation("insert into entries values ($1, '')", String(sequence));
  const { prepare } = await session.executeAndPrepare([insert], gid, 5_000);
  expect(prepare).toMatchObject({ kind: "answered", tag: "PREPARE TRANSACTION" });
  return gid;
}

function prepareEntries(): Promise<readonly GlobalId[]> {
  return Promise.all(Array.from({ length: BRANCHES }, (_, index) => prepareEntry(index + 1)));
}

async function entries(): Promise<readonly number[]> {
  const { rows } = await fixture.client.query<{ id: string }>("select id from entries");
  return rows.map(({ id }) => Number(id)).sort((one, other) => one - other);
}

test("each of many that are finished together gets its own answer, and one that fails fails alone", async () => {
  const { shard } = fixture;
  const gids = await prepareEntries();
  await fixture.client.query(`rollback prepared '${gids[UNKNOWN - 1]!}'`);
  const outcomes = await Promise.all(
    gids.map((gid, index) =>
      index % 2 === 0 ? shard.commitPrepared(gid) : shard.rollbackPrepared(gid),
    ),
  );
  expect(outcomes.map(({ kind }) => kind)).toEqual(
    gids.map((_, index) => (index + 1 === UNKNOWN ? "doesNotExist" : "finished")),
  );
  const committed = gids.flatMap((_, index) =>
    index % 2 === 0 && index + 1 !== UNKNOWN ? [index + 1] : [],
  );
  expect(await entries()).toEqual(committed);
  expect(await fixture.prepared()).toEqual([]);
});

test("one that is refused for now leaves the connection as good as it was", async () => {
  const gid = await prepareEntry(1);
  const elsewhere = await createShard();
  // A prepared transaction can only be finished in the database it belongs to.
  const [refused, unknown] = await Promise.all([
    elsewhere.shard.commitPrepared(gid),
    elsewhere.shard.commitPrepared(gidOf(2)),
  ]);
  expect([refused.kind, unknown.kind]).toEqual(["refused", "doesNotExist"]);
  expect(await fixture.shard.commitPrepared(gid)).toMatchObject({ kind: "finished" });
  await elsewhere.close();
});

test("when the server cannot be reached, all that wait are told, and can be finished later", async () => {
  const gids = await prepareEntries();
  const proxy = await startTcpProxy(Number(new URL(fixture.url).port));
  const shard = openShard(throughProxy(fixture.url, proxy));
  await shard.warmUp();
  proxy.swallowAnswers();
  const finishing = Promise.allSettled(gids.map((gid) => shard.commitPrepared(gid)));
  proxy.cut();
  for (const ending of await finishing) {
    expect(ending.status === "rejected" && ending.reason).toBeInstanceOf(ShardUnreachable);
  }
  proxy.mend();
  for (const gid of gids) await shard.commitPrepared(gid);
  expect(await entries()).toEqual(gids.map((_, index) => index + 1));
  expect(await fixture.prepared()).toEqual([]);
  await shard.close();
  await proxy.close();
});

test("of several batches in one write, those before the connection is lost have their answers", async () => {
  const pool = openPool(fixture.url);
  const { connection, release } = await pool.take();
  const texts = ["select 1 as one", "select 1 / 0", "select pg_sleep(60)", "select 2 as two"];
  const reports = connection.runEach(
    texts.map((text) => [{ statement: connection.statements.once(text), values: [] }]),
  );
  const lost = Promise.allSettled(reports.slice(2));
  expect(await reports[0]).toMatchObject({ end: { kind: "done", results: [{ tag: "SELECT 1" }] } });
  expect(await reports[1]).toMatchObject({ end: { kind: "failed", error: { code: "22012" } } });
  connection.destroy();
  for (const ending of await lost) {
    expect(ending.status === "rejected" && ending.reason).toBeInstanceOf(ShardUnreachable);
  }
  release(false);
  await pool.end();
});
