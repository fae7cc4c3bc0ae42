/** Whom Postgres makes wait for whom, beyond the contract that the twin keeps as well. */
import pg from "pg";
import { LockWatch, LEFT_OUT, type WatchedSession } from "../../../participant/shard/lock-watch.ts";
import type { LockWait, ShardSession } from "../../../participant/shard/shard.ts";
import { ADD, gid, operation } from "../../participant/shard-contract.ts";
import { eventually } from "../../support/wait.ts";
import { anyStatement, createShard, type ShardFixture } from "./postgres-fixture.ts";

let fixture: ShardFixture;
let pool: pg.Pool;

beforeEach(async () => {
  // Locks that a client could not ask for stand for those that functions and triggers take.
  fixture = await createShard({ check: anyStatement });
  pool = new pg.Pool({ connectionString: fixture.url });
});
afterEach(async () => {
  await pool.end();
  await fixture.close();
});

async function waitsOfShard(count = 1): Promise<readonly LockWait[]> {
  let waits: readonly LockWait[] = [];
  await eventually(`${count} waits are seen`, async () => {
    waits = await fixture.shard.lockWaits(0);
    return waits.length === count;
  });
  return waits;
}

const gidsIn = (waits: readonly LockWait[]): readonly unknown[] =>
  waits.map(({ holder }) => (holder.kind === "prepared" ? holder.gid : "a session"));

async function prepareByHand(name: string, ...statements: string[]): Promise<void> {
  const { client } = fixture;
  for (const sql of ["begin", ...statements]) await client.query(sql);
  await client.query(`prepare transaction '${gid(name)}'`);
}

async function end(session: ShardSession, waiting: Promise<unknown>): Promise<void> {
  for (const name of await fixture.prepared()) {
    await fixture.client.query(`rollback prepared '${name}'`);
  }
  await waiting;
  await session.rollback();
}

const UPDATE_A = "update items set value = value + 1 where id = 'a'";

test("a prepared branch that wrote the row behind a savepoint is found", async () => {
  await prepareByHand("1", "insert into entries values ('1', '')", "savepoint one", UPDATE_A);
  const session = await fixture.begin();
  const waiting = session.execute([operation(ADD, 1, "a")]);
  expect(gidsIn(await waitsOfShard())).toEqual([gid("1")]);
  await end(session, waiting);
});

test("of the prepared branches on one table only those are waited for whose locks are in the way", async () => {
  await prepareByHand("1", UPDATE_A);
  await prepareByHand("2", "select * from items", "insert into entries values ('2', '')");
  const session = await fixture.begin();
  const waiting = session.execute([operation("lock table items in share mode")]);
  expect(gidsIn(await waitsOfShard())).toEqual([gid("1")]);
  await end(session, waiting);
});

test("advisory locks are waited for like rows", async () => {
  await prepareByHand("1", UPDATE_A, "select pg_advisory_xact_lock(7)");
  const session = await fixture.begin();
  const waiting = session.execute([operation("select pg_advisory_xact_lock(7)")]);
  expect(gidsIn(await waitsOfShard())).toEqual([gid("1")]);
  await end(session, waiting);
});

/** A session waits for another on item `a`; `look` is called while it does. */
async function whileOneWaits(
  look: (waiter: WatchedSession, holder: WatchedSession) => Promise<void>,
): Promise<void> {
  const [holder, waiter] = [await fixture.begin(), await fixture.begin()];
  await holder.execute([operation(ADD, 1, "a")]);
  const waiting = waiter.execute([operation(ADD, 1, "a")]);
  await waitsOfShard();
  await look(waiter as WatchedSession, holder as WatchedSession);
  await holder.rollback();
  await waiting;
  await waiter.rollback();
}

test("a process of the same pid that was started at another time is somebody else", async () => {
  await whileOneWaits(async (waiter, holder) => {
    const watch = new LockWatch(pool);
    expect(await watch.waits(new Set([waiter, holder]))).toHaveLength(1);
    const recycled = { ...holder.backend, startedAtUs: "1700000000000000" };
    const named = { backend: { value: recycled } };
    const impostor = Object.create(holder, named) as WatchedSession;
    expect(await watch.waits(new Set([waiter, impostor]))).toEqual([]);
  });
});

test("of a session that ends while the server is asked nothing is told", async () => {
  await whileOneWaits(async (waiter, holder) => {
    for (const gone of [waiter, holder]) {
      const open = new Set([waiter, holder]);
      const asked = new LockWatch(pool).waits(open);
      open.delete(gone);
      expect(await asked).toEqual([]);
    }
  });
});

test("locks that pass by themselves and sessions that the server ends are left out, all others are seen", async () => {
  await whileOneWaits(async (waiter, holder) => {
    const open = new Set([waiter, holder]);
    const withoutRows = { ...LEFT_OUT, lockTypes: ["transactionid"] };
    const withoutClients = { ...LEFT_OUT, backendTypes: ["client backend"] };
    for (const leftOut of [withoutRows, withoutClients]) {
      expect(await new LockWatch(pool, leftOut).waits(open)).toEqual([]);
    }
    expect(await new LockWatch(pool).waits(open)).toHaveLength(1);
  });
});

test("the locks that pass by themselves are called as the server calls them", async () => {
  const { rows } = await pool.query<{ name: string }>(
    "select name from pg_wait_events where type = 'Lock' order by name",
  );
  const { lockTypes } = LEFT_OUT;
  expect(rows.map(({ name }) => name).filter((name) => !lockTypes.includes(name))).toEqual([
    ...["advisory", "object", "relation", "transactionid", "tuple", "userlock", "virtualxid"],
  ]);
});
