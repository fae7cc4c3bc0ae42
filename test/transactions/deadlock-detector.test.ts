import {
  DeadlockDetector,
  type DeadlockParties,
} from "../../coordinator/transactions/deadlocks/detector.ts";
import { LinkLost, type ParticipantLinks } from "../../coordinator/transport/participant-link.ts";
import type { CarrierId, ShardId } from "../../shared/model/ids.ts";
import type { BranchWait, WaitsReply } from "../../shared/model/protocol.ts";
import { silent } from "../participant/node-fixture.ts";
import { carrier } from "./support/commands.ts";
import { ManualClock } from "./support/manual-clock.ts";

const [S1, S2] = ["s1", "s2"] as ShardId[] as [ShardId, ShardId];
const [OLD, YOUNG] = [carrier(1, 1), carrier(1, 2)];
const INTERVAL_MS = 100;

/** Shards that say what the test wants, when the test wants it. */
class Shards {
  readonly asked: ShardId[] = [];
  readonly #answers: ((reply: WaitsReply | Error) => void)[] = [];

  readonly links: ParticipantLinks = {
    shards: [S1, S2],
    connected: () => undefined,
    onChange: () => undefined,
    request: async (shard) => {
      this.asked.push(shard);
      const reply = await new Promise<WaitsReply | Error>((resolve) => {
        this.#answers.push(resolve);
      });
      if (reply instanceof Error) throw reply;
      return reply as never;
    },
  };

  /** The oldest question that is open. */
  async answer(reply: WaitsReply | Error): Promise<void> {
    this.#answers.shift()!(reply);
    await new Promise(setImmediate);
  }
}

class Parties implements DeadlockParties {
  readonly running = new Map<CarrierId, readonly ShardId[]>([
    [OLD, [S2]],
    [YOUNG, [S1]],
  ]);
  readonly yielded: CarrierId[] = [];

  slow() {
    return [...this.running].map(([carrierId, shards]) => ({ carrierId, shards }));
  }
  mayYield(carrierId: CarrierId): boolean {
    return this.running.has(carrierId);
  }
  yieldToOthers(carrierId: CarrierId): void {
    this.yielded.push(carrierId);
    this.running.delete(carrierId);
  }
}

function start() {
  const [shards, parties, clock] = [new Shards(), new Parties(), new ManualClock()];
  const { links } = shards;
  const detector = new DeadlockDetector({ parties: [parties], links, clock, logger: silent });
  detector.startLeading();
  return { shards, parties, clock, detector };
}

const waits = (waiter: CarrierId, holder: CarrierId, evidence = "since 1"): WaitsReply => {
  const wait: BranchWait = { waiter, holder, evidence };
  return { kind: "waits", waits: [wait] };
};
const ON_S1 = waits(YOUNG, OLD);
const ON_S2 = waits(OLD, YOUNG);
const NONE: WaitsReply = { kind: "waits", waits: [] };

test("the younger of two that wait for each other yields, after both shards have said so twice", async () => {
  const { shards, parties, clock } = start();
  clock.pass(INTERVAL_MS);
  expect(shards.asked).toHaveLength(2);
  for (const shard of [...shards.asked]) await shards.answer(shard === S1 ? ON_S1 : ON_S2);
  expect(parties.yielded).toEqual([]);
  for (const shard of shards.asked.slice(2)) await shards.answer(shard === S1 ? ON_S1 : ON_S2);
  expect(parties.yielded).toEqual([YOUNG]);
});

test("no shard is asked again before every shard has answered", async () => {
  const { shards, clock } = start();
  clock.pass(INTERVAL_MS);
  await shards.answer(shards.asked[0] === S1 ? ON_S1 : ON_S2);
  expect(shards.asked).toHaveLength(2);
});

test.each([
  ["another wait of the same two", waits(YOUNG, OLD, "since 2")],
  ["no wait any more", NONE],
  ["no answer", new LinkLost("lost")],
  ["an excuse", { kind: "retry", sentence: "down" } as const],
])("nobody yields when the second answer of a shard is %s", async (_, second) => {
  const { shards, parties, clock } = start();
  clock.pass(INTERVAL_MS);
  for (const shard of [...shards.asked]) await shards.answer(shard === S1 ? ON_S1 : ON_S2);
  for (const shard of shards.asked.slice(2)) await shards.answer(shard === S1 ? second : ON_S2);
  expect(shards.asked).toHaveLength(4);
  expect(parties.yielded).toEqual([]);
});

test("nobody yields when one of the circle ends before the second answers are in", async () => {
  const { shards, parties, clock } = start();
  clock.pass(INTERVAL_MS);
  for (const shard of [...shards.asked]) await shards.answer(shard === S1 ? ON_S1 : ON_S2);
  parties.running.delete(OLD);
  for (const shard of shards.asked.slice(2)) await shards.answer(shard === S1 ? ON_S1 : ON_S2);
  expect(parties.yielded).toEqual([]);
});

test("who no longer leads makes nobody yield, and asks nobody", async () => {
  const { shards, parties, clock, detector } = start();
  clock.pass(INTERVAL_MS);
  for (const shard of [...shards.asked]) await shards.answer(shard === S1 ? ON_S1 : ON_S2);
  detector.stopLeading();
  for (const shard of shards.asked.slice(2)) await shards.answer(shard === S1 ? ON_S1 : ON_S2);
  expect(parties.yielded).toEqual([]);
  clock.pass(10 * INTERVAL_MS);
  expect(shards.asked).toHaveLength(4);
});

test.each([
  ["votes of one shard alone", [OLD, YOUNG], [S1]],
  ["one transaction's votes alone", [OLD], [S1, S2]],
])("nobody is asked while %s are slow", (_, carriers, slowShards) => {
  const { shards, parties, clock } = start();
  parties.running.clear();
  for (const each of carriers) parties.running.set(each, slowShards);
  clock.pass(INTERVAL_MS);
  expect(shards.asked).toEqual([]);
});

test("shards are asked again an interval after their last answer", async () => {
  const { shards, clock } = start();
  clock.pass(INTERVAL_MS);
  clock.pass(10 * INTERVAL_MS);
  expect(shards.asked).toHaveLength(2);
  await shards.answer(NONE);
  await shards.answer(NONE);
  clock.pass(INTERVAL_MS);
  expect(shards.asked).toHaveLength(4);
});
