/** Interactive transactions on a leader and two participants, without consensus, sockets or disks. */
import { INTERACTIVE_LIMITS } from "../../shared/model/interactive.ts";
import type { Step } from "../../coordinator/transactions/interactive/machine.ts";
import { settled } from "../participant/test-clock.ts";
import {
  add,
  InteractiveWorld,
  problem,
  read,
  S1,
  S2,
  transfer,
  UNTOUCHED,
} from "./support/interactive-world.ts";

const savepoint = (kind: "savepoint" | "rollbackTo" | "release", name: string): Step => ({
  kind,
  name,
});

test("statements on two shards commit together, and the commit repeats", async () => {
  const world = new InteractiveWorld();
  const client = await world.lead().begin();
  await transfer(client);
  expect(world.books).toEqual(UNTOUCHED);
  expect((await client.step(3, read(S2))).response).toEqual({
    seq: 3,
    rowCount: 1,
    rows: [{ value: "110" }],
    fields: [{ name: "value", type: "int8" }],
  });
  const answer = { id: client.id, outcome: "committed", results: [], pendingShards: [] };
  expect(await client.commit()).toEqual(answer);
  expect(world.books).toEqual([
    [90n, 100n],
    [110n, 100n],
  ]);
  expect(await client.commit()).toEqual(answer);
  expect(world.links.sent.filter(({ kind }) => kind === "prepare")).toHaveLength(2);
});

test("the last step again is answered again and not run again; another body, a gap and an old one are conflicts", async () => {
  const world = new InteractiveWorld();
  const client = await world.lead().begin();
  const first = await client.step(1, add(S1, 5));
  expect(await client.step(1, add(S1, 5))).toEqual({ ...first, replayed: true });
  const conflict = { code: "sequence-conflict", outcome: "not_started", field: "seq" };
  expect(await problem(client.step(1, add(S1, 6)))).toMatchObject(conflict);
  expect(await problem(client.step(3, add(S1, 5)))).toMatchObject({
    ...conflict,
    message: "seq 3 does not follow: the next one is 2",
  });
  await client.step(2, add(S1, 1));
  expect(await problem(client.step(1, add(S1, 5)))).toMatchObject(conflict);
  await client.commit();
  expect(world.books[0]).toEqual([106n, 100n]);
});

test("a step that still runs is joined by its repetition, and keeps others and the commit out", async () => {
  const world = new InteractiveWorld();
  const leader = world.lead();
  const client = await leader.begin();
  const release = world.hooksOf(S1).hold("before execute");
  const running = client.step(1, add(S1, 5));
  await settled();
  const again = client.step(1, add(S1, 5));
  expect(await problem(client.step(2, add(S1, 5)))).toMatchObject({
    code: "sequence-conflict",
    message: "step 1 still runs",
  });
  expect(await problem(client.commit())).toMatchObject({ code: "sequence-conflict" });
  release();
  expect(await running).toMatchObject({ replayed: false });
  expect(await again).toMatchObject({ replayed: true });
  expect(world.links.sent).toHaveLength(1);
});

test("without any branch a commit is a commit, and a rollback afterwards comes too late", async () => {
  const world = new InteractiveWorld();
  const client = await world.lead().begin();
  await client.step(1, savepoint("savepoint", "s"));
  expect(await client.commit()).toMatchObject({ outcome: "committed" });
  expect(await client.commit()).toMatchObject({ outcome: "committed" });
  expect(await problem(client.rollBack())).toMatchObject({
    code: "already-committed",
    outcome: "committed",
  });
  expect(world.links.sent).toEqual([]);
});

test("what only read is committed without an entry in the log", async () => {
  const world = new InteractiveWorld();
  const leader = world.lead();
  leader.holdsProposals = true;
  const client = await leader.begin();
  await client.step(1, read(S1));
  await client.step(2, read(S2));
  expect(await client.commit()).toMatchObject({ outcome: "committed" });
  expect(world.left).toEqual([0, 0]);
});

test("where one shard alone was written, the others are neither prepared, nor logged, nor told to commit", async () => {
  const world = new InteractiveWorld();
  const leader = world.lead();
  leader.holdsProposals = true;
  const client = await leader.begin({ isolation: "snapshot", shards: [S1, S2] });
  await client.step(1, read(S1));
  await client.step(2, add(S2, 10));
  const committed = client.commit();
  await settled();
  expect([...world.places].map(([shard, { database }]) => [shard, database.prepared.size])).toEqual(
    [
      [S1, 0],
      [S2, 1],
    ],
  );
  expect(world.left).toEqual([0, 1]);
  leader.apply();
  expect(await committed).toMatchObject({ outcome: "committed" });
  const outcome = world.ledger.transactionOutcome(client.id);
  const logged = outcome.kind === "committed" ? outcome.carrier?.branches : undefined;
  expect(logged?.map(({ shard }) => shard)).toEqual([S2]);
  const told = world.links.sent.filter(({ kind }) => kind === "commit");
  expect(told.map(({ shard }) => shard)).toEqual([S2]);
});

test("a rollback is told when both branches have let go of their locks, repeats, and ends every later call", async () => {
  const world = new InteractiveWorld();
  const client = await world.lead().begin();
  await transfer(client);
  const answer = { id: client.id, outcome: "aborted" };
  const release = world.hooksOf(S2).hold("before rollback");
  let told: object | undefined;
  const rollingBack = client.rollBack().then((rolledBack) => (told = rolledBack));
  await settled();
  expect([told, ...world.left]).toEqual([undefined, 0, 1]);
  release();
  expect(await rollingBack).toEqual(answer);
  expect(world.left).toEqual([0, 0]);
  expect(world.books).toEqual(UNTOUCHED);
  expect(await client.rollBack()).toEqual(answer);
  const expired = { code: "transaction-expired", outcome: "aborted" };
  expect(await problem(client.step(3, add(S1, 1)))).toMatchObject(expired);
  expect(await problem(client.commit())).toMatchObject(expired);
});

test("a savepoint means the same moment on every shard, also on those that join later", async () => {
  const world = new InteractiveWorld();
  const client = await world.lead().begin();
  await client.step(1, add(S1, 1));
  await client.step(2, savepoint("savepoint", "outer"));
  await client.step(3, add(S1, 10));
  await client.step(4, savepoint("savepoint", "inner"));
  await client.step(5, add(S2, 100));
  await client.step(6, savepoint("rollbackTo", "inner"));
  await client.step(7, add(S2, 200));
  await client.step(8, savepoint("rollbackTo", "outer"));
  await client.step(9, add(S2, 3, "b"));
  await client.step(10, savepoint("release", "outer"));
  expect(await problem(client.step(11, savepoint("rollbackTo", "outer")))).toMatchObject({
    code: "invalid-request",
    field: "rollbackTo",
    outcome: "not_started",
  });
  await client.commit();
  expect(world.books).toEqual([
    [101n, 100n],
    [100n, 103n],
  ]);
});

test("no more savepoints than allowed are set", async () => {
  const client = await new InteractiveWorld().lead().begin();
  const { maxSavepoints } = INTERACTIVE_LIMITS;
  for (let seq = 1; seq <= maxSavepoints; seq += 1) {
    await client.step(seq, savepoint("savepoint", `s${seq}`));
  }
  const next = maxSavepoints + 1;
  expect(await problem(client.step(next, savepoint("savepoint", "t")))).toMatchObject({
    code: "invalid-request",
    field: "savepoint",
  });
  await client.step(next, savepoint("release", "s2"));
  await client.step(next + 1, savepoint("savepoint", "t"));
});

test("without a savepoint a failed statement rolls everything back, and later calls name the cause", async () => {
  const world = new InteractiveWorld();
  const client = await world.lead().begin();
  await client.step(1, add(S1, 5));
  expect(await problem(client.step(2, add(S2, -500)))).toMatchObject({
    code: "constraint-violation",
    outcome: "aborted",
    shard: "s2",
    constraint: "items_value_check",
  });
  await settled();
  expect(world.left).toEqual([0, 0]);
  expect(await problem(client.commit())).toMatchObject({
    code: "transaction-expired",
    message: expect.stringContaining("items_value_check") as unknown,
  });
});

test("under a savepoint a failed statement is undone by going back, and by nothing else", async () => {
  const world = new InteractiveWorld();
  const client = await world.lead().begin();
  await client.step(1, add(S1, 5));
  await client.step(2, savepoint("savepoint", "s"));
  const failure = { code: "constraint-violation", outcome: "not_started", shard: "s2" };
  expect(await problem(client.step(3, add(S2, -500)))).toMatchObject(failure);
  expect(await problem(client.step(3, add(S2, -500)))).toMatchObject(failure);
  const refused = { code: "transaction-failed", outcome: "not_started" };
  expect(await problem(client.step(4, add(S1, 1)))).toMatchObject(refused);
  expect(await problem(client.step(4, savepoint("savepoint", "t")))).toMatchObject(refused);
  expect(await problem(client.step(4, savepoint("release", "s")))).toMatchObject(refused);
  expect(await problem(client.commit())).toMatchObject(refused);
  await client.step(4, savepoint("rollbackTo", "s"));
  await client.step(5, add(S2, 7));
  await client.commit();
  expect(world.books).toEqual([
    [105n, 100n],
    [107n, 100n],
  ]);
});

test("a failed transaction can be rolled back", async () => {
  const world = new InteractiveWorld();
  const client = await world.lead().begin();
  await client.step(1, savepoint("savepoint", "s"));
  await problem(client.step(2, add(S1, -500)));
  expect(await client.rollBack()).toMatchObject({ outcome: "aborted" });
  expect(world.left).toEqual([0, 0]);
});
