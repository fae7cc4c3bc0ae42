/** Which transactions go together, and when: lines by shards, one carrier at a time on each shard, and how many it takes. */
import {
  LANE_QUEUE_LIMITS,
  LaneQueue,
  type Waiting,
} from "../../coordinator/transactions/lane/lane-queue.ts";
import { type ShardId, shardId } from "../../shared/model/ids.ts";
import { CARRIER_MEMBERS } from "../../shared/model/protocol.ts";

interface Named extends Waiting {
  readonly name: string;
}

let nowMs = 0;

function waiting(name: string, shards: string, more: Partial<Waiting> = {}): Named {
  nowMs += 1;
  const of = shards.split("").map((shard) => shardId(shard));
  return {
    ...{ name, line: shards, shards: of, sinceMs: nowMs, operations: 2, characters: 100 },
    ...more,
  };
}

function many(count: number, shards: string, more?: Partial<Waiting>): Named[] {
  return Array.from({ length: count }, (_, index) => waiting(`${shards}${index}`, shards, more));
}

function queueOf(...entries: readonly Named[]): LaneQueue<Named> {
  const queue = new LaneQueue<Named>();
  for (const entry of entries) queue.add(entry);
  return queue;
}

const namesOf = (carrier: readonly Named[] | undefined) => carrier?.map(({ name }) => name);

function free(queue: LaneQueue<Named>, shards: string): void {
  for (const shard of shards) queue.freed(shard as ShardId);
}

test("what waits for the same shards goes together, in the order in which it came", () => {
  const queue = queueOf(waiting("one", "ab"), waiting("two", "ab"), waiting("three", "ab"));
  expect(namesOf(queue.next())).toEqual(["one", "two", "three"]);
  expect(queue.size).toBe(0);
});

test("no carrier executes where another one does, until the shard is free again", () => {
  const queue = queueOf(waiting("one", "ab"));
  queue.next();
  queue.add(waiting("two", "ab"));
  expect(queue.next()).toBeUndefined();
  free(queue, "a");
  expect(queue.next()).toBeUndefined();
  free(queue, "b");
  expect(namesOf(queue.next())).toEqual(["two"]);
});

test("a shard is freed once by each carrier, and the second time is a mistake that is noticed", () => {
  const queue = queueOf(waiting("one", "ab"));
  queue.next();
  free(queue, "ab");
  expect(() => {
    free(queue, "a");
  }).toThrow("freed once");
});

test("a slow shard holds up the lines that need it, and no others", () => {
  const queue = queueOf(waiting("slow", "ad"), waiting("one", "ab"), waiting("two", "bc"));
  expect(namesOf(queue.next())).toEqual(["slow"]);
  expect(namesOf(queue.next())).toEqual(["two"]);
  free(queue, "a");
  free(queue, "bc");
  queue.add(waiting("slow too", "ad"));
  expect(namesOf(queue.next())).toEqual(["one"]);
  expect(queue.next()).toBeUndefined();
});

test("of lines that may go, the one whose head has waited longest goes first", () => {
  const queue = queueOf(waiting("one", "ab"));
  queue.next();
  for (const entry of [waiting("older", "bc"), waiting("younger", "ab")]) queue.add(entry);
  free(queue, "ab");
  expect(namesOf(queue.next())).toEqual(["older"]);
});

test("those that are put back go before those that came meanwhile", () => {
  const queue = queueOf(waiting("one", "ab"), waiting("two", "ab"));
  const [, two] = queue.next()!;
  queue.add(waiting("three", "ab"));
  queue.putBack([two!]);
  free(queue, "ab");
  expect(namesOf(queue.next())).toEqual(["two", "three"]);
});

test.each([
  ["members", {}, CARRIER_MEMBERS],
  ["operations", { operations: 64 }, 4],
  ["characters", { characters: LANE_QUEUE_LIMITS.maxCharacters / 2 }, 2],
  ["characters of a single one", { characters: LANE_QUEUE_LIMITS.maxCharacters * 2 }, 1],
])("a carrier takes no more than its bound of %s", (_, more, count) => {
  expect(queueOf(...many(40, "ab", more)).next()).toHaveLength(count);
});

test("half as many go together after a carrier that was spoilt, and one more after each that commits", () => {
  const queue = queueOf(...many(40, "ab"));
  queue.spoilt("ab");
  queue.spoilt("ab");
  expect(queue.next()).toHaveLength(8);
  free(queue, "ab");
  queue.committedTogether("ab");
  expect(queue.next()).toHaveLength(9);
});

test("a line that is always spoilt closes, and opens again with what succeeds alone", () => {
  const queue = queueOf();
  for (let times = 0; times < 5; times += 1) queue.spoilt("ab");
  expect([queue.isOpen("ab"), queue.isOpen("bc")]).toEqual([false, true]);
  for (let times = 0; times < 11; times += 1) queue.committedAlone("ab");
  expect(queue.isOpen("ab")).toBe(true);
  for (const entry of many(5, "ab")) queue.add(entry);
  expect(queue.next()).toHaveLength(2);
});

test("what succeeds alone does not make an open line take more", () => {
  const queue = queueOf(...many(40, "ab"));
  queue.spoilt("ab");
  for (let times = 0; times < 100; times += 1) queue.committedAlone("ab");
  expect(queue.next()).toHaveLength(CARRIER_MEMBERS / 2);
});

test("a full queue is closed to all lines", () => {
  const queue = queueOf(...many(LANE_QUEUE_LIMITS.maxWaiting, "ab"));
  expect(queue.isOpen("bc")).toBe(false);
});

test("those that came before a moment are taken out, of all lines, and others stay", () => {
  const early = [waiting("one", "ab"), waiting("two", "bc")];
  const late = [waiting("three", "ab"), waiting("four", "bc")];
  const queue = queueOf(...early, ...late);
  expect(namesOf(queue.takeOlderThan(late[0]!.sinceMs))?.sort()).toEqual(["one", "two"]);
  expect(queue.size).toBe(2);
  expect(namesOf(queue.next())).toEqual(["three"]);
});

test("of more lines than are remembered, the one that was tried longest ago is forgotten", () => {
  const queue = queueOf();
  const halve = (line: string): void => {
    for (let times = 0; times < 5; times += 1) queue.spoilt(line);
  };
  halve("ab");
  for (let line = 1; line < LANE_QUEUE_LIMITS.maxRememberedLines; line += 1)
    queue.spoilt(`${line}`);
  expect(queue.isOpen("ab")).toBe(false);
  queue.spoilt("one more");
  expect(queue.isOpen("ab")).toBe(true);
});
