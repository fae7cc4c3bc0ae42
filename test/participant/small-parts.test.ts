import { CarrierMemory } from "../../participant/branches/carrier-memory.ts";
import { Incidents } from "../../participant/branches/incidents.ts";
import { judgePrepare } from "../../participant/branches/judgement.ts";
import { RefusedKeys } from "../../participant/branches/refused-keys.ts";
import { errorCodeOf } from "../../participant/shard/sqlstate.ts";
import { Repetitions, StatementCache } from "../../participant/shard/statement-cache.ts";
import { toWire } from "../../participant/shard/wire-values.ts";
import { widenXid } from "../../participant/shard/xid.ts";
import { carrierId } from "../../shared/model/ids.ts";
import { SequenceSet } from "../../shared/model/sequence-set.ts";
import { ballotOf, gidOf, silent } from "./node-fixture.ts";
import { TestClock } from "./test-clock.ts";

const carrier = (sequence: number, round = 1) => carrierId(ballotOf(round), sequence);

test("a carrier is met once", () => {
  const memory = new CarrierMemory();
  expect([memory.meet(carrier(5)), memory.meet(carrier(5)), memory.meet(carrier(4))]).toEqual([
    true,
    false,
    true,
  ]);
});

test("carriers of lower ballots count as met, and their memory is given back", () => {
  const memory = new CarrierMemory();
  memory.meet(carrier(5));
  expect(memory.bytes).toBe(128);
  expect(memory.hear(ballotOf(2))).toBe(true);
  expect(memory.hear(ballotOf(2))).toBe(false);
  expect(memory.hear(ballotOf(1))).toBe(false);
  expect(memory.bytes).toBe(0);
  expect(memory.meet(carrier(6))).toBe(false);
  expect(memory.meet(carrier(6, 2))).toBe(true);
  expect(memory.highestBallot).toBe(ballotOf(2));
});

test("the memory of carriers stays bounded, and what it forgets it refuses", () => {
  const memory = new CarrierMemory();
  const step = 1_000;
  for (let sequence = 0; sequence < 10_000_000; sequence += step) {
    expect(memory.meet(carrier(sequence))).toBe(true);
  }
  expect(memory.bytes).toBeLessThan(400 * 1024);
  expect(memory.meet(carrier(1))).toBe(false);
  expect(memory.meet(carrier(9_999_000))).toBe(false);
  expect(memory.meet(carrier(9_999_001))).toBe(true);
  expect(memory.meet("no carrier" as never)).toBe(false);
});

test("what comes before a refused attempt under its key is behind it, whoever led then", () => {
  const refused = new RefusedKeys();
  refused.add("key", carrier(5, 2));
  refused.add("key", carrier(9, 1));
  const behind = [carrier(4, 2), carrier(10, 1), carrier(5, 2), carrier(6, 2), carrier(1, 3)];
  expect(behind.map((attempt) => refused.isBehind("key", attempt))).toEqual([
    ...[true, true],
    ...[false, false, false],
  ]);
  expect(refused.isBehind("other", carrier(1))).toBe(false);
});

test("the refused keys that are remembered are the newest", () => {
  const refused = new RefusedKeys();
  for (let sequence = 1; sequence <= 20_000; sequence += 1) {
    refused.add(`key ${sequence}`, carrier(sequence));
  }
  expect(refused.isBehind("key 20000", carrier(1))).toBe(true);
  expect(refused.isBehind("key 1", carrier(0))).toBe(false);
});

test("a sequence set forgets whole chunks below a mark", () => {
  const set = new SequenceSet();
  for (const sequence of [1, 1_023, 1_024, 5_000, 5_200]) set.add(ballotOf(1), sequence);
  set.add(ballotOf(2), 1);
  set.forgetBelow(ballotOf(1), 5_100);
  expect([1, 1_023, 1_024, 5_000, 5_200].map((sequence) => set.has(ballotOf(1), sequence))).toEqual(
    [false, false, false, true, true],
  );
  expect(set.has(ballotOf(2), 1)).toBe(true);
  expect(set.bytes).toBe(3 * 128);
});

test.each([
  ["5", "7", "5"],
  ["9", "7", "9"],
  ["4294967290", "4294967300", "4294967290"],
  ["3", "4294967290", "4294967299"],
  ["4294967295", "8589934600", "8589934591"],
  ["100", "8589934700", "8589934692"],
])("the 32 bits %s near %s are %s", (xid, reference, whole) => {
  expect(widenXid(xid, reference)).toBe(whole);
});

test.each([
  ["40001", "execute", "participant-conflict"],
  ["40P01", "prepare", "participant-conflict"],
  ["55P03", "execute", "lock-timeout"],
  ["57014", "execute", "transaction-timeout"],
  ["23505", "prepare", "constraint-violation"],
  ["23514", "execute", "constraint-violation"],
  ["0A000", "prepare", "not-preparable"],
  ["0A000", "execute", "sql-error"],
  ["55000", "prepare", "not-preparable"],
  ["53200", "prepare", "overloaded"],
  ["53300", "execute", "overloaded"],
  ["08006", "execute", "shard-unavailable"],
  ["57P01", "execute", "shard-unavailable"],
  ["42P01", "execute", "sql-error"],
  ["22012", "commit", "sql-error"],
] as const)("SQLSTATE %s at %s is %s", (sqlstate, step, code) => {
  expect(errorCodeOf(sqlstate, step)).toBe(code);
});

test("only the tag PREPARE TRANSACTION without a warning is a yes", () => {
  const answered = (tag: string, ...warnings: string[]) =>
    judgePrepare({ kind: "answered", tag, warnings });
  expect(answered("PREPARE TRANSACTION")).toEqual({ isPrepared: true, refusal: null });
  expect(answered("ROLLBACK")).toMatchObject({ isPrepared: false, refusal: { code: "sql-error" } });
  expect(answered("")).toMatchObject({ isPrepared: false });
  expect(answered("PREPARE TRANSACTION", "might not have been replicated")).toMatchObject({
    isPrepared: true,
    refusal: { code: "shard-unavailable" },
  });
});

test.each([
  [null, null],
  ["text", "text"],
  [1.5, "1.5"],
  [true, "true"],
  [{ a: [1] }, '{"a":[1]}'],
  [[1, null, 'a"b\\c', [true]], '{"1",NULL,"a\\"b\\\\c",{"true"}}'],
  [[], "{}"],
])("the parameter %j goes out as %j", (param, text) => {
  expect(toWire(param)).toBe(text);
});

test("a text is worth a name from its second time on, and memory of texts is bounded", () => {
  const repetitions = new Repetitions();
  expect([repetitions.seen("select 1"), repetitions.seen("select 1")]).toEqual([false, true]);
  for (let text = 0; text < 5_000; text += 1) repetitions.seen(`select ${text} as once`);
  expect(repetitions.seen("select 1")).toBe(false);
  const long = `select '${"x".repeat(10_000)}'`;
  expect([repetitions.seen(long), repetitions.seen(long)]).toEqual([false, false]);
});

test("prepared statements leave a connection in the order of their last use", () => {
  const cache = new StatementCache();
  const first = cache.kept("select 0");
  const second = cache.kept("select 1");
  for (let text = 2; text < 200; text += 1) cache.kept(`select ${text}`);
  expect(cache.kept("select 0")).toBe(first);
  cache.kept("one more");
  expect(cache.takeEvicted()).toEqual([second.name]);
  expect(cache.takeEvicted()).toEqual([]);
  cache.forget(first);
  expect(cache.takeEvicted()).toEqual([first.name]);
  expect(cache.kept("select 0").name).not.toBe(first.name);
});

test("an incident is raised once, and the list of incidents is bounded", () => {
  const incidents = new Incidents(new TestClock(), silent);
  incidents.raise(gidOf(1), "it contradicts");
  incidents.raise(gidOf(1), "it contradicts");
  expect(incidents.count).toBe(1);
  for (let sequence = 2; sequence < 400; sequence += 1) incidents.raise(gidOf(sequence), "again");
  expect(incidents.count).toBe(399);
  expect(incidents.list()).toHaveLength(256);
  expect(incidents.list().at(-1)).toMatchObject({ gid: gidOf(399) });
});
