/** Interactive transactions that wait for others which wait for them, on two shards: who gives way, and what it is told. */
import { operationsByShard, soleAnswer } from "../../coordinator/transactions/answer.ts";
import { DeadlockDetector } from "../../coordinator/transactions/deadlocks/detector.ts";
import { LIMITS } from "../../shared/model/api.ts";
import type { CarrierId, ShardId } from "../../shared/model/ids.ts";
import { silent } from "../participant/node-fixture.ts";
import { ADD } from "../participant/shard-contract.ts";
import { settled } from "../participant/test-clock.ts";
import { carrier, roundBallot, transaction } from "./support/commands.ts";
import {
  add,
  type Client,
  InteractiveWorld,
  type Leader,
  problem,
  S1,
  S2,
} from "./support/interactive-world.ts";

const SOON_MS = 500;
const DEADLOCK = { code: "deadlock", outcome: "aborted" };

function watched(): { readonly world: InteractiveWorld; readonly leader: Leader } {
  const world = new InteractiveWorld();
  const leader = world.lead();
  const { links, clock } = world;
  const parties = [leader.carriers, leader.transactions];
  new DeadlockDetector({ parties, links, clock, logger: silent }).startLeading();
  return { world, leader };
}

/** As the number of the carrier says, older or younger than others. */
async function oneShot(leader: Leader, number: number, order: readonly ShardId[]) {
  const request = { operations: order.map((shard) => ({ shard, sql: ADD, params: [1, "a"] })) };
  const transactionId = transaction(1, number);
  const timeoutMs = LIMITS.defaultTimeoutMs;
  const answer = await leader.carriers.run({
    ballot: roundBallot(1),
    carrierId: carrier(1, number),
    members: [{ transactionId, operations: operationsByShard(request), idempotency: null }],
    terms: { timeoutMs, waitFor: "applied" },
    limits: { timeoutMs, isolation: "read committed" },
    release: () => undefined,
  });
  return soleAnswer(answer, transactionId);
}

/** The first statement of each, so that the second of each waits for the other. */
async function crossed(leader: Leader): Promise<readonly [Client, Client]> {
  const [older, younger] = [await leader.begin(), await leader.begin()];
  await older.step(1, add(S1, 1));
  await younger.step(1, add(S2, 1));
  return [older, younger];
}

test("the younger of two gives way at once; the older one goes on, and commits", async () => {
  const { world, leader } = watched();
  const [older, younger] = await crossed(leader);
  const goesOn = older.step(2, add(S2, 10));
  const givesWay = problem(younger.step(2, add(S1, 10)));
  await world.clock.advance(SOON_MS);
  expect(await givesWay).toMatchObject({ ...DEADLOCK, transactionId: younger.id });
  expect((await goesOn).response).toMatchObject({ rowCount: 1 });
  await older.commit();
  expect(world.books).toEqual([
    [101n, 100n],
    [110n, 100n],
  ]);
  expect(world.left).toEqual([0, 0]);
});

test("whoever asked for the same step again is told of the deadlock, too; later calls name it", async () => {
  const { world, leader } = watched();
  const [older, younger] = await crossed(leader);
  void older.step(2, add(S2, 10));
  const calls = [younger.step(2, add(S1, 10)), younger.step(2, add(S1, 10))].map(problem);
  await world.clock.advance(SOON_MS);
  expect(await Promise.all(calls)).toMatchObject([DEADLOCK, DEADLOCK]);
  const expired = {
    code: "transaction-expired",
    outcome: "aborted",
    message: expect.stringContaining("it waited for transactions that waited for it") as unknown,
  };
  expect(await problem(younger.step(2, add(S1, 10)))).toMatchObject(expired);
  expect(await problem(younger.step(3, add(S1, 10)))).toMatchObject(expired);
  expect(await problem(younger.commit())).toMatchObject(expired);
  expect(await younger.rollBack()).toEqual({ id: younger.id, outcome: "aborted" });
});

test("under a savepoint the whole transaction gives way as well", async () => {
  const { world, leader } = watched();
  const [older, younger] = await crossed(leader);
  await younger.step(2, { kind: "savepoint", name: "s" });
  void older.step(2, add(S2, 10));
  const givesWay = problem(younger.step(3, add(S1, 10)));
  await world.clock.advance(SOON_MS);
  expect(await givesWay).toMatchObject(DEADLOCK);
});

describe("beside a transaction in one request", () => {
  /** One that was begun before every other. */
  const OLDEST = 1;
  const YOUNGEST = 1_000;

  test.each([
    ["the interactive one is the younger", OLDEST, true],
    ["the interactive one is the older", YOUNGEST, false],
  ])("the younger gives way: %s", async (_, number, isInteractive) => {
    const { world, leader } = watched();
    await (await leader.begin()).rollBack();
    const client = await leader.begin();
    await client.step(1, add(S2, 1));
    // Its branch on s1 is prepared, or about to be; the one on s2 waits for the client.
    const other = problem(oneShot(leader, number, [S1, S2]));
    await settled();
    const waiting = problem(client.step(2, add(S1, 1)));
    await world.clock.advance(SOON_MS);
    const [told, toldOther] = await Promise.all([waiting, other]);
    const [victim, survivor] = isInteractive ? [told, toldOther] : [toldOther, told];
    expect(victim).toMatchObject(DEADLOCK);
    expect(survivor).toHaveProperty("answered");
  });
});

/** Which of the two kinds would let it be the victim. */
function mayYield(leader: Leader, id: CarrierId): readonly boolean[] {
  return [leader.transactions.mayYield(id), leader.carriers.mayYield(id)];
}

test("at each moment a transaction is the victim of one kind or of none: not while it waits for its client", async () => {
  const world = new InteractiveWorld(2);
  const leader = world.lead();
  const client = await leader.begin();
  const id = carrier(1, 1);
  expect(mayYield(leader, id)).toEqual([false, false]);
  const release = world.hooksOf(S1).hold("before execute");
  const running = client.step(1, add(S1, 1));
  await settled();
  expect(mayYield(leader, id)).toEqual([true, false]);
  release();
  await running;
  expect(mayYield(leader, id)).toEqual([false, false]);
  const goOn = world.hooksOf(S1).hold("before prepare");
  const committing = client.commit();
  expect(mayYield(leader, id)).toEqual([false, true]);
  goOn();
  await committing;
  expect(mayYield(leader, id)).toEqual([false, false]);
});

test("one that waits for a place on a shard waits for no lock there", async () => {
  const world = new InteractiveWorld(2);
  const leader = world.lead();
  const [holder, client] = [await leader.begin(), await leader.begin()];
  await holder.step(1, add(S1, 1));
  await client.step(1, add(S2, 1));
  const running = problem(client.step(2, add(S1, 1)));
  await settled();
  expect(leader.transactions.mayYield(carrier(1, 2))).toBe(false);
  expect(leader.transactions.slow(0)).toEqual([]);
  await holder.commit();
  await running;
});

test("slow is whose step has run for so long, and where", async () => {
  const world = new InteractiveWorld();
  const leader = world.lead();
  const client = await leader.begin();
  await client.step(1, add(S1, 1));
  await world.clock.advance(100);
  expect(leader.transactions.slow(50)).toEqual([]);
  const release = world.hooksOf(S2).hold("before execute");
  const running = client.step(2, add(S2, 1));
  await world.clock.advance(49);
  expect(leader.transactions.slow(50)).toEqual([]);
  await world.clock.advance(1);
  expect(leader.transactions.slow(50)).toEqual([{ carrierId: carrier(1, 1), shards: [S2] }]);
  release();
  await running;
  expect(leader.transactions.slow(0)).toEqual([]);
});
