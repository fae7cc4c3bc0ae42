/** How interactive transactions end: by time, by lost links, branches and leaders, and by their commit. */
import { NotLeader } from "../../coordinator/transactions/gateway.ts";
import type { Owner } from "../../coordinator/transactions/owner.ts";
import { INTERACTIVE_LIMITS } from "../../shared/model/interactive.ts";
import { settled } from "../participant/test-clock.ts";
import { transaction } from "./support/commands.ts";
import {
  add,
  type Client,
  InteractiveWorld,
  problem,
  S1,
  S2,
  transfer,
  UNTOUCHED,
} from "./support/interactive-world.ts";

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

test("a single statement that takes long on one shard does not cost the branch on the other", async () => {
  const world = new InteractiveWorld();
  const client = await world.lead().begin({ idleTimeoutMs: 1_000, timeoutMs: 60_000 });
  await client.step(1, add(S2, 10));
  const release = world.hooksOf(S1).hold("before execute");
  const running = client.step(2, add(S1, -10));
  await world.clock.advance(20_000);
  release();
  expect(await running).toMatchObject({ response: { rowCount: 1 } });
  const kept = world.links.sent.filter(({ kind }) => kind === "keep");
  expect(new Set(kept.map(({ shard }) => shard))).toEqual(new Set([S2]));
  expect(await client.commit()).toMatchObject({ outcome: "committed" });
  expect(world.books).toEqual([
    [90n, 100n],
    [110n, 100n],
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
  const [first, second, third] = [await leader.begin(), await leader.begin(), await leader.begin()];
  await first.step(1, add(S1, 1));
  const waiting = problem(second.step(1, add(S1, 1)));
  await second.rollBack();
  expect(await waiting).toMatchObject({ code: "transaction-expired" });
  await first.rollBack();
  await settled();
  expect(await third.step(1, add(S1, 1))).toMatchObject({ replayed: false });
});

test("no more than so many are open at once", async () => {
  const leader = new InteractiveWorld().lead();
  const clients: Client[] = [];
  const owner = (client: string): Owner => ({ client, sealOf: () => "" });
  for (let number = 1; number <= INTERACTIVE_LIMITS.maxOpen; number += 1) {
    clients.push(await leader.begin({}, owner(`client ${number}`)));
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

test("a transaction whose commit runs is listed once, with the shards that it has reached", async () => {
  const world = new InteractiveWorld();
  const leader = world.lead();
  const client = await leader.begin();
  await transfer(client);
  const release = world.hooksOf(S2).hold("before prepare");
  const committing = client.commit();
  await settled();
  expect(leader.listing.page({ limit: 10 }).transactions).toMatchObject([
    { id: client.id, state: "active", shards: ["s1", "s2"] },
  ]);
  release();
  await committing;
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

describe("an id that nobody has given", () => {
  const callsAbout = (client: Client): (() => Promise<unknown>)[] => [
    () => client.step(1, add(S1, 1)),
    client.commit,
    client.rollBack,
  ];

  test("names nothing, under the leader's ballot as under one that nobody has had", async () => {
    const world = new InteractiveWorld();
    const leader = world.lead();
    const { id: first } = await leader.begin();
    for (const id of [transaction(1, 2), transaction(1, 900), transaction(99, 1)]) {
      for (const call of callsAbout(leader.client(id))) {
        expect(await problem(call())).toMatchObject({ code: "not-found", outcome: "not_started" });
      }
    }
    expect(first).toContain("1-1-2-");
    expect(world.links.sent).toEqual([]);
  });

  test("may be a newer leader's where this one was replaced without hearing of it", async () => {
    const world = new InteractiveWorld();
    const leader = world.lead();
    world.isReplaced = true;
    for (const call of callsAbout(leader.client(transaction(2, 1)))) {
      await expect(call()).rejects.toBeInstanceOf(NotLeader);
    }
    const own = leader.client(transaction(1, 1));
    expect(await problem(own.commit())).toMatchObject({ code: "not-found" });
  });

  test("is not one of those that were given: what is over stays aborted, whoever leads", async () => {
    const world = new InteractiveWorld();
    const [first, second] = [world.lead(), world.lead()];
    const clients = [await second.begin(), await second.begin()];
    for (const { rollBack } of clients) await rollBack();
    for (const { id } of [...clients, { id: transaction(1, 900) }]) {
      expect(await problem(second.client(id).commit())).toMatchObject({ outcome: "aborted" });
    }
    first.depose();
    await expect(first.client(transaction(2, 1)).commit()).rejects.toBeInstanceOf(NotLeader);
  });
});
