/** Isolation `snapshot`: what a transaction sees of others that several shards commit one after the other. */
import { NotLeader } from "../../coordinator/transactions/gateway.ts";
import { INTERACTIVE_LIMITS } from "../../shared/model/interactive.ts";
import { settled } from "../participant/test-clock.ts";
import {
  add,
  InteractiveWorld,
  type Leader,
  problem,
  read,
  S1,
  S2,
  transfer,
} from "./support/interactive-world.ts";

const SNAPSHOT = { isolation: "snapshot", shards: [S1, S2] };

/** Its commit is on s1, and on its way to s2 until `release`. */
async function halfCommitted(
  world: InteractiveWorld,
  leader: Leader,
): Promise<{ readonly release: () => void; readonly committed: Promise<unknown> }> {
  const writer = await leader.begin();
  await transfer(writer);
  const release = world.hooksOf(S2).hold("before commitPrepared");
  const committed = writer.commit();
  await settled();
  expect(world.books[0]).toEqual([90n, 100n]);
  expect(world.books[1]).toEqual([100n, 100n]);
  return { release, committed };
}

const valueOf = ({ response }: { readonly response: object }): unknown =>
  (response as { readonly rows: readonly { readonly value: string }[] }).rows[0]?.value;

test("a snapshot is not given before what one shard shows is shown by the others", async () => {
  const world = new InteractiveWorld();
  const leader = world.lead();
  const { release, committed } = await halfCommitted(world, leader);
  const beginning = leader.begin(SNAPSHOT);
  let isBegun = false;
  void beginning.then(() => (isBegun = true));
  await settled();
  expect(isBegun).toBe(false);
  release();
  const reader = await beginning;
  await committed;
  expect(valueOf(await reader.step(1, read(S1)))).toBe("90");
  expect(valueOf(await reader.step(2, read(S2)))).toBe("110");
  expect(await reader.commit()).toMatchObject({ outcome: "committed" });
  expect(world.left).toEqual([0, 0]);
});

test("a repeatable read on each shard sees half of what a snapshot shows whole", async () => {
  const world = new InteractiveWorld();
  const leader = world.lead();
  const { release } = await halfCommitted(world, leader);
  const reader = await leader.begin({ isolation: "repeatable read" });
  expect(valueOf(await reader.step(1, read(S1)))).toBe("90");
  expect(valueOf(await reader.step(2, read(S2)))).toBe("100");
  release();
});

test("what commits after the begin is seen on no shard", async () => {
  const world = new InteractiveWorld();
  const leader = world.lead();
  const [reader, writer] = [await leader.begin(SNAPSHOT), await leader.begin()];
  await transfer(writer);
  await writer.commit();
  expect(valueOf(await reader.step(1, read(S1)))).toBe("100");
  expect(valueOf(await reader.step(2, read(S2)))).toBe("100");
});

test("what it writes itself commits on all shards, and is refused where another was first", async () => {
  const world = new InteractiveWorld();
  const leader = world.lead();
  const [first, second] = [await leader.begin(SNAPSHOT), await leader.begin(SNAPSHOT)];
  await transfer(first);
  await first.commit();
  await second.step(1, add(S1, 1, "b"));
  expect(await problem(second.step(2, add(S2, 1)))).toMatchObject({
    code: "participant-conflict",
    outcome: "aborted",
  });
  expect(world.books).toEqual([
    [90n, 100n],
    [110n, 100n],
  ]);
});

test("it uses the shards that it has named, and no others", async () => {
  const world = new InteractiveWorld();
  const client = await world.lead().begin({ isolation: "snapshot", shards: [S1] });
  expect(await problem(client.step(1, read(S2)))).toMatchObject({
    code: "invalid-request",
    field: "shard",
    message: "the transaction's snapshot is of s1, as its begin named them",
  });
  expect(await client.step(1, read(S1))).toMatchObject({ response: { rowCount: 1 } });
});

test("where the shards do not come to agree, it is rolled back in time and leaves nothing open", async () => {
  const world = new InteractiveWorld();
  const leader = world.lead();
  const { release } = await halfCommitted(world, leader);
  const beginning = problem(leader.begin(SNAPSHOT));
  await world.clock.advance(INTERACTIVE_LIMITS.maxOpeningMs);
  expect(await beginning).toMatchObject({ code: "transaction-timeout", outcome: "aborted" });
  await settled();
  expect(world.left[0]).toBe(0);
  release();
});

test("a shard that is lost meanwhile ends it, on the other shards as well", async () => {
  const world = new InteractiveWorld();
  const leader = world.lead();
  const { release } = await halfCommitted(world, leader);
  const beginning = problem(leader.begin(SNAPSHOT));
  await settled();
  world.links.cut(S2);
  expect(await beginning).toMatchObject({ code: "transaction-expired", outcome: "aborted" });
  await settled();
  expect(world.left[0]).toBe(0);
  release();
});

test("a shard that cannot be reached refuses it before anything is begun", async () => {
  const world = new InteractiveWorld();
  const leader = world.lead();
  world.links.cut(S2);
  expect(await problem(leader.begin(SNAPSHOT))).toMatchObject({
    code: "shard-unavailable",
    outcome: "not_started",
  });
  expect(leader.transactions.size).toBe(0);
  expect(world.links.sent).toEqual([]);
});

test("a leader that was replaced and has not heard of it gives no snapshot, and leaves nothing open", async () => {
  const world = new InteractiveWorld();
  const leader = world.lead();
  world.isReplaced = true;
  expect(await problem(leader.begin(SNAPSHOT))).toMatchObject({
    ...{ code: "transaction-expired", outcome: "aborted" },
    message: "the transaction is rolled back: the leader has changed",
  });
  await settled();
  expect(world.left).toEqual([0, 0]);
});

test("a leader that is replaced while a snapshot waits for its place does not begin it", async () => {
  const world = new InteractiveWorld(2);
  const leader = world.lead();
  await leader.begin(SNAPSHOT);
  const waiting = leader.begin({ isolation: "snapshot", shards: [S1] });
  await settled();
  leader.depose();
  await expect(waiting).rejects.toBeInstanceOf(NotLeader);
  await settled();
  expect([leader.transactions.size, ...world.left]).toEqual([0, 0, 0]);
});

test.each<[string, (world: InteractiveWorld, leader: Leader) => unknown]>([
  [
    "the leader is deposed",
    (_, leader) => {
      leader.depose();
    },
  ],
  ["its time is over", (world) => world.clock.advance(2_000)],
  [
    "a link is lost and comes back",
    ({ links }) => {
      links.cut(S2);
      links.mend(S2);
    },
  ],
])("while a snapshot is taken: %s, and nothing stays open or taken", async (_, happen) => {
  const world = new InteractiveWorld(2);
  const leader = world.lead();
  const release = world.hooksOf(S2).hold("before execute");
  let told: object | undefined;
  void problem(leader.begin({ ...SNAPSHOT, timeoutMs: 2_000 })).then(
    (answer) => (told = answer),
    (error: unknown) => (told = error as object),
  );
  await settled();
  expect(told).toBeUndefined();
  await happen(world, leader);
  await settled();
  expect(told).toBeDefined();
  expect(told).not.toHaveProperty("answered");
  release();
  await settled();
  await settled();
  expect(world.left).toEqual([0, 0]);
  const next = world.lead();
  const client = await next.begin(SNAPSHOT);
  expect(await client.commit()).toMatchObject({ outcome: "committed" });
});

test("what was begun anew has savepoints like any other, and commits whole", async () => {
  const world = new InteractiveWorld();
  const leader = world.lead();
  const { release, committed } = await halfCommitted(world, leader);
  const beginning = leader.begin(SNAPSHOT);
  await settled();
  release();
  const client = await beginning;
  await committed;
  const taken = world.links.sent.filter(
    (sent) => sent.kind === "statement" && sent.action.kind === "takeSnapshot",
  );
  expect(taken.map(({ shard }) => shard)).toEqual([S1, S2, S2]);
  await client.step(1, add(S1, 1, "b"));
  await client.step(2, { kind: "savepoint", name: "s" });
  await client.step(3, add(S2, 100, "b"));
  await client.step(4, { kind: "rollbackTo", name: "s" });
  await client.step(5, add(S2, -1, "b"));
  expect(await client.step(5, add(S2, -1, "b"))).toMatchObject({ replayed: true });
  expect(await client.commit()).toMatchObject({ outcome: "committed" });
  expect(world.books).toEqual([
    [90n, 101n],
    [110n, 99n],
  ]);
  expect(world.left).toEqual([0, 0]);
});
