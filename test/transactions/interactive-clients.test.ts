/** How many interactive transactions one client may have open, and when one of them makes room. */
import type { Owner } from "../../coordinator/transactions/owner.ts";
import { settled } from "../participant/test-clock.ts";
import {
  type Client,
  InteractiveWorld,
  type Leader,
  problem,
  S1,
  S2,
  transfer,
} from "./support/interactive-world.ts";

const MAX = 2;
const owner = (client: string): Owner => ({ client, sealOf: () => "" });
const ALICE = owner("alice");
const FULL = { code: "too-many-open", outcome: "not_started", retryAfterMs: 1_000 };

test("a client has no more than so many open, and the others as many again", async () => {
  const leader = new InteractiveWorld(8, MAX).lead();
  for (let number = 1; number <= MAX; number += 1) await leader.begin({}, ALICE);
  expect(await problem(leader.begin({}, ALICE))).toMatchObject({
    ...FULL,
    message:
      "2 interactive transactions of client alice are open already: commit one or roll it back",
  });
  await leader.begin({}, owner("bob"));
  for (let number = 1; number <= MAX; number += 1) await leader.begin();
  expect(await problem(leader.begin())).toMatchObject({
    ...FULL,
    message:
      "2 interactive transactions of clients that are not told apart are open already: commit one or roll it back",
  });
  expect([...leader.transactions.openByClient]).toEqual([
    ["alice", 2],
    ["bob", 1],
    ["", 2],
  ]);
});

test("a client that has no more does not stand in line for places on shards either", async () => {
  const leader = new InteractiveWorld(2, MAX).lead();
  for (let number = 1; number <= MAX; number += 1) await leader.begin({}, ALICE);
  const snapshot = { isolation: "snapshot", shards: [S1, S2] };
  await leader.begin(snapshot, owner("bob"));
  let told: unknown;
  void problem(leader.begin(snapshot, ALICE)).then((answer) => (told = answer));
  await settled();
  expect(told).toMatchObject(FULL);
});

interface Full {
  readonly world: InteractiveWorld;
  readonly leader: Leader;
  readonly client: Client;
}

/** Alice has all that she may. */
async function full(): Promise<Full> {
  const world = new InteractiveWorld(8, MAX);
  const leader = world.lead();
  const client = await leader.begin({ idleTimeoutMs: 1_000 }, ALICE);
  await leader.begin({}, ALICE);
  expect(await problem(leader.begin({}, ALICE))).toMatchObject(FULL);
  return { world, leader, client };
}

test.each<[string, (full: Full) => Promise<unknown>]>([
  ["a commit", ({ client }) => client.commit()],
  ["a rollback", ({ client }) => client.rollBack()],
  ["an expiry", ({ world }) => world.clock.advance(1_000)],
])("%s makes room", async (_, end) => {
  const all = await full();
  await transfer(all.client);
  await end(all);
  await settled();
  await all.leader.begin({}, ALICE);
});

test("a commit that is not decided takes its place", async () => {
  const { leader, client } = await full();
  await transfer(client);
  leader.holdsProposals = true;
  const committed = client.commit();
  await settled();
  expect(await problem(leader.begin({}, ALICE))).toMatchObject(FULL);
  leader.apply();
  await committed;
  await settled();
  await leader.begin({}, ALICE);
});

test("a snapshot that could not be opened leaves its place, and a refused one those on its shards", async () => {
  const world = new InteractiveWorld(2, MAX);
  const leader = world.lead();
  const snapshot = { isolation: "snapshot", shards: [S1, S2] };
  const first = await leader.begin({}, ALICE);
  world.links.mute = "statement";
  expect(await problem(leader.begin(snapshot, ALICE))).toMatchObject({ code: "shard-unavailable" });
  world.links.mute = undefined;
  await leader.begin({}, ALICE);
  expect(await problem(leader.begin(snapshot, ALICE))).toMatchObject(FULL);
  await first.rollBack();
  await leader.begin(snapshot, ALICE);
});

test("a change of leader makes room: with the leader its transactions are gone", async () => {
  const { world, leader } = await full();
  leader.depose();
  const next = world.lead();
  for (let number = 1; number <= MAX; number += 1) await next.begin({}, ALICE);
});
