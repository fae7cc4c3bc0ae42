/** Interactive transactions on a leader and two participants, without consensus, sockets or disks. */
import { SynodError } from "../../shared/model/errors.ts";
import { INTERACTIVE_LIMITS } from "../../shared/model/interactive.ts";
import type { Step } from "../../coordinator/transactions/interactive/machine.ts";
import { settled } from "../participant/test-clock.ts";
import { add, type Client, InteractiveWorld, read, S1, S2 } from "./support/interactive-world.ts";
import { transaction } from "./support/commands.ts";

const UNTOUCHED = [
  [100n, 100n],
  [100n, 100n],
];
const savepoint = (kind: "savepoint" | "rollbackTo" | "release", name: string): Step => ({
  kind,
  name,
});

/** What a call is refused with. */
async function problem(call: Promise<unknown>): Promise<object> {
  try {
    return { answered: await call };
  } catch (error) {
    if (!(error instanceof SynodError)) throw error;
    const { code, outcome, message, detail } = error;
    return { code, outcome, message, ...detail };
  }
}

async function transfer(client: Client): Promise<void> {
  await client.step(1, add(S1, -10));
  await client.step(2, add(S2, 10));
}

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
    message: "seq 3 does not follow: it is 2 now",
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

test("a rollback is told when both branches have let go of their locks, repeats, and ends every later call", async () => {
  const world = new InteractiveWorld();
  const client = await world.lead().begin();
  await transfer(client);
  const answer = { id: client.id, outcome: "aborted" };
  expect(await client.rollBack()).toEqual(answer);
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

test("a transaction that waits too long for its client is rolled back, and steps put that off", async () => {
  const world = new InteractiveWorld();
  const client = await world.lead().begin({ idleTimeoutMs: 1_000 });
  await client.step(1, add(S1, 5));
  await world.clock.advance(999);
  await client.step(2, add(S1, 5));
  await world.clock.advance(999);
  expect(world.left).toEqual([1, 0]);
  await world.clock.advance(1);
  await settled();
  expect(world.left).toEqual([0, 0]);
  expect(await problem(client.step(3, add(S1, 5)))).toMatchObject({
    code: "transaction-expired",
    message: "the transaction is rolled back: it waited too long for its client",
  });
});

test("a step that takes longer than the idle time does not count as idle", async () => {
  const world = new InteractiveWorld();
  const client = await world.lead().begin({ idleTimeoutMs: 1_000 });
  const release = world.hooksOf(S1).hold("before execute");
  const running = client.step(1, add(S1, 5));
  await world.clock.advance(3_000);
  release();
  expect(await running).toMatchObject({ response: { rowCount: 1 } });
});

test("the time limit ends a transaction in the middle of a step", async () => {
  const world = new InteractiveWorld();
  const leader = world.lead();
  const [first, client] = [await leader.begin(), await leader.begin({ timeoutMs: 2_000 })];
  await first.step(1, add(S1, 1));
  const running = problem(client.step(1, add(S1, 5)));
  await world.clock.advance(2_000);
  expect(await running).toMatchObject({
    code: "transaction-expired",
    message: "the transaction is rolled back: its time was over",
  });
  await first.commit();
  expect(world.books[0]).toEqual([101n, 100n]);
});

test("a transaction that works on one shard for long keeps its branch on the other", async () => {
  const world = new InteractiveWorld();
  const client = await world.lead().begin({ idleTimeoutMs: 1_000 });
  await client.step(1, add(S1, -1));
  for (let seq = 2; seq <= 40; seq += 1) {
    await client.step(seq, add(S2, 1));
    await world.clock.advance(900);
  }
  await client.commit();
  expect(world.books).toEqual([
    [99n, 100n],
    [139n, 100n],
  ]);
});

test("a branch that its participant no longer knows ends the transaction", async () => {
  const world = new InteractiveWorld();
  const client = await world.lead().begin();
  await client.step(1, add(S1, 5));
  const { gid } = world.links.sent[0] as unknown as { readonly gid: never };
  await world.places.get(S1)!.node.handle("another link", { kind: "abort", gid });
  await world.clock.advance(2_100);
  expect(await problem(client.step(2, add(S2, 1)))).toMatchObject({
    code: "transaction-expired",
    message: "the transaction is rolled back: shard s1 has lost its branch",
  });
});

test("a lost link ends the transactions behind it, on their other shards as well", async () => {
  const world = new InteractiveWorld();
  const leader = world.lead();
  const [client, other] = [await leader.begin(), await leader.begin()];
  await transfer(client);
  await other.step(1, add(S2, 1, "b"));
  world.links.cut(S1);
  await settled();
  expect(world.left).toEqual([0, 1]);
  expect(await problem(client.commit())).toMatchObject({ code: "transaction-expired" });
  expect(await other.commit()).toMatchObject({ outcome: "committed" });
});

test("a step whose answer is lost ends the transaction: nobody knows whether it ran", async () => {
  const world = new InteractiveWorld();
  const client = await world.lead().begin();
  await client.step(1, add(S2, 1));
  world.links.mute = "statement";
  expect(await problem(client.step(2, add(S1, 5)))).toMatchObject({
    code: "shard-unavailable",
    outcome: "aborted",
  });
  await settled();
  expect(world.left).toEqual([0, 0]);
});

test("a shard that cannot be reached refuses its first statement, and the transaction goes on", async () => {
  const world = new InteractiveWorld();
  const client = await world.lead().begin();
  await client.step(1, add(S2, 1));
  world.links.cut(S1);
  expect(await problem(client.step(2, add(S1, 1)))).toMatchObject({
    code: "shard-unavailable",
    outcome: "not_started",
  });
  expect(await client.step(1, add(S2, 1))).toMatchObject({ replayed: true });
  world.links.mend(S1);
  await client.step(2, add(S1, 1));
  await client.commit();
  expect(world.books).toEqual([
    [101n, 100n],
    [101n, 100n],
  ]);
});

test("half of a shard's places are left to one-shot transactions; who gets none is told so and may ask again", async () => {
  const world = new InteractiveWorld(2);
  const leader = world.lead();
  const [first, second] = [await leader.begin(), await leader.begin()];
  await first.step(1, add(S1, 1));
  const waiting = problem(second.step(1, add(S1, 1, "b")));
  await world.clock.advance(2_000);
  expect(await waiting).toMatchObject({ code: "overloaded", outcome: "not_started" });
  await first.commit();
  expect(await second.step(1, add(S1, 1, "b"))).toMatchObject({ replayed: false });
});

test("a place that comes when the transaction is over is given back", async () => {
  const world = new InteractiveWorld(2);
  const leader = world.lead();
  const [first, second, third] = [
    await leader.begin(),
    await leader.begin({ timeoutMs: 500 }),
    await leader.begin(),
  ];
  await first.step(1, add(S1, 1));
  const waiting = problem(second.step(1, add(S1, 1)));
  await world.clock.advance(500);
  expect(await waiting).toMatchObject({
    code: expect.stringMatching(/expired|overloaded/) as unknown,
  });
  await first.rollBack();
  expect(await third.step(1, add(S1, 1))).toMatchObject({ replayed: false });
});

test("no more than so many are open at once", async () => {
  const leader = new InteractiveWorld().lead();
  const clients: Client[] = [];
  for (let number = 1; number <= INTERACTIVE_LIMITS.maxOpen; number += 1) {
    clients.push(await leader.begin());
  }
  expect(await problem(leader.begin())).toMatchObject({
    code: "overloaded",
    outcome: "not_started",
  });
  await clients[0]!.rollBack();
  await leader.begin();
});

test("a leader that is deposed rolls all back at once; the next one knows none of them", async () => {
  const world = new InteractiveWorld();
  const leader = world.lead();
  const client = await leader.begin();
  await transfer(client);
  const release = world.hooksOf(S1).hold("before execute");
  const running = problem(client.step(3, add(S1, 1)));
  await settled();
  leader.depose();
  release();
  expect(await running).toMatchObject({ code: "transaction-expired", outcome: "aborted" });
  await settled();
  expect(world.left).toEqual([0, 0]);
  const late = world.lead().client(client.id);
  expect(await problem(late.step(4, add(S1, 1)))).toMatchObject({ code: "transaction-expired" });
  expect(await problem(late.commit())).toMatchObject({ code: "transaction-expired" });
  expect(await late.rollBack()).toEqual({ id: client.id, outcome: "aborted" });
});

test("a commit that was asked of one leader is answered by the next, from the ledger", async () => {
  const world = new InteractiveWorld();
  const client = await world.lead().begin();
  await transfer(client);
  await client.commit();
  const late = world.lead().client(client.id);
  expect(await late.commit()).toMatchObject({ id: client.id, outcome: "committed" });
  expect(await problem(late.rollBack())).toMatchObject({ code: "already-committed" });
  expect(await problem(late.step(3, add(S1, 1)))).toMatchObject({ code: "already-committed" });
});

test("a rollback that meets a commit being decided waits for the decision", async () => {
  const world = new InteractiveWorld();
  const leader = world.lead();
  leader.holdsProposals = true;
  const client = await leader.begin();
  await transfer(client);
  const committing = client.commit();
  await settled();
  const rollingBack = problem(client.rollBack());
  const again = client.commit();
  const late = problem(client.step(3, add(S1, 1)));
  await settled();
  leader.apply();
  expect(await committing).toMatchObject({ outcome: "committed" });
  expect(await again).toMatchObject({ outcome: "committed" });
  expect(await rollingBack).toMatchObject({ code: "already-committed" });
  expect(await late).toMatchObject({ code: "already-committed" });
});

test("while nobody knows the decision nobody is told one", async () => {
  const world = new InteractiveWorld();
  const leader = world.lead();
  leader.holdsProposals = true;
  const client = await leader.begin();
  await transfer(client);
  const calls = [client.commit({ timeoutMs: 1_000 }), client.commit({ timeoutMs: 2_000 })];
  const told = calls.map(problem);
  const rollingBack = problem(client.rollBack());
  await world.clock.advance(10_000);
  for (const answer of await Promise.all([...told, rollingBack])) {
    expect(answer).toMatchObject({ code: "outcome-unknown", outcome: "unknown" });
  }
  leader.apply();
  await settled();
  expect(await client.commit()).toMatchObject({ outcome: "committed" });
});

test("a branch that votes no aborts the commit on every shard, and later calls name the cause", async () => {
  const world = new InteractiveWorld();
  const client = await world.lead().begin();
  await transfer(client);
  world.hooksOf(S2).verdicts.set("before prepare", "rollback");
  expect(await problem(client.commit())).toMatchObject({ outcome: "aborted", shard: "s2" });
  await settled();
  expect(world.left).toEqual([0, 0]);
  expect(await problem(client.commit())).toMatchObject({
    code: "transaction-expired",
    message: "the transaction is rolled back: PREPARE TRANSACTION was answered by ROLLBACK",
  });
  expect(await client.rollBack()).toMatchObject({ outcome: "aborted" });
});

test("a leader deposed before it could propose calls the commit aborted, and it is", async () => {
  const world = new InteractiveWorld();
  const leader = world.lead();
  const client = await leader.begin();
  await transfer(client);
  const release = world.hooksOf(S2).hold("before prepare");
  const committing = problem(client.commit());
  await settled();
  leader.depose();
  release();
  expect(await committing).toMatchObject({ code: "coordinator-changed", outcome: "aborted" });
  await settled();
  expect(world.books).toEqual(UNTOUCHED);
  expect(world.left).toEqual([0, 0]);
});

test("an open transaction is neither aborted nor forgotten for those who ask about its carrier", async () => {
  const world = new InteractiveWorld();
  const leader = world.lead();
  const client = await leader.begin();
  await client.step(1, add(S1, 1));
  const { carrierId } = world.links.sent[0] as unknown as { readonly carrierId: never };
  expect(leader.transactions.holds(carrierId)).toBe(true);
  await client.rollBack();
  expect(leader.transactions.holds(carrierId)).toBe(false);
});

test("a transaction of no leader that is known is not called anything", async () => {
  const leader = new InteractiveWorld().lead();
  const stranger = leader.client(transaction(99, 1));
  expect(await problem(stranger.commit())).toMatchObject({ outcome: "unknown" });
  expect(await problem(stranger.rollBack())).toMatchObject({ outcome: "unknown" });
});
