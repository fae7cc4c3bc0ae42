/** A leader's memory of what it has answered under keys: of one ballot, and bounded by age, number and bytes. */
import {
  AnsweredKeys,
  DEFAULT_ANSWERED_KEYS_LIMITS,
  type AnsweredKeysLimits,
  type KeyAnswer,
} from "../../coordinator/transactions/answered-keys.ts";
import { SynodError } from "../../shared/model/errors.ts";
import { ballot, nodeId } from "../../shared/model/ids.ts";
import { ManualClock } from "./support/manual-clock.ts";

const FIRST = ballot(1, nodeId(1));
const SECOND = ballot(2, nodeId(1));
const aborted = (error: SynodError): KeyAnswer => ({ kind: "aborted", error });
const CONFLICT = aborted(new SynodError("lock-timeout", "a lock was not granted in time"));
const NOT_KEPT: KeyAnswer = { kind: "notKept" };
const huge = "x".repeat(2_000);

function memory(limits: Partial<AnsweredKeysLimits> = {}) {
  const clock = new ManualClock();
  const keys = new AnsweredKeys(clock, { ...DEFAULT_ANSWERED_KEYS_LIMITS, ...limits });
  const add = (key: string, answer: KeyAnswer = CONFLICT): void => {
    keys.add(FIRST, { key, fingerprint: `print of ${key}` }, answer);
  };
  const known = (...names: readonly string[]): readonly string[] =>
    names.filter((name) => keys.find(FIRST, name) !== undefined);
  return { clock, keys, add, known };
}

test("an abort is remembered with the body that it was for", () => {
  const { keys, add } = memory();
  add("k");
  expect(keys.find(FIRST, "k")).toMatchObject({ fingerprint: "print of k", answer: CONFLICT });
  expect(keys.find(FIRST, "other")).toBeUndefined();
});

test("the first answer under a key stays", () => {
  const { keys, add } = memory();
  add("k");
  add("k", NOT_KEPT);
  expect(keys.find(FIRST, "k")?.answer).toBe(CONFLICT);
  expect(keys.size).toBe(1);
});

test("it is the memory of one ballot", () => {
  const { keys, add } = memory();
  add("k");
  expect(keys.find(SECOND, "k")).toBeUndefined();
  keys.add(SECOND, { key: "other", fingerprint: "" }, NOT_KEPT);
  expect(keys.find(FIRST, "k")).toBeUndefined();
  expect([keys.size, keys.find(SECOND, "other")?.answer]).toEqual([1, NOT_KEPT]);
});

test("what is older than the retention is forgotten", () => {
  const { clock, add, known } = memory({ retentionMs: 1_000 });
  add("k0");
  clock.pass(600);
  add("k1");
  clock.pass(401);
  expect(known("k0", "k1")).toEqual(["k1"]);
});

test("beyond the greatest number the oldest go", () => {
  const { keys, add, known } = memory({ maxEntries: 2 });
  for (const key of ["k0", "k1", "k2"]) add(key);
  expect(known("k0", "k1", "k2")).toEqual(["k1", "k2"]);
  expect(keys.size).toBe(2);
});

function nothingWritten(text: string): KeyAnswer {
  const results = [{ rowCount: 0, rows: [{ text }] }];
  return {
    kind: "wroteNothing",
    response: { id: "", outcome: "committed", pendingShards: [], results },
  };
}

test("an answer that says much is not kept, that its key was used is", () => {
  const { keys, add } = memory();
  add("short", nothingWritten("x"));
  expect(keys.find(FIRST, "short")?.answer).toEqual(nothingWritten("x"));
  const { bytes } = keys;
  add("long", nothingWritten("x".repeat(5_000)));
  expect(keys.find(FIRST, "long")).toMatchObject({
    fingerprint: "print of long",
    answer: NOT_KEPT,
  });
  expect(keys.bytes - bytes).toBeLessThan(1_000);
});

test.each<[string, KeyAnswer]>([
  ["an abort", aborted(new SynodError("sql-error", huge))],
  ["an answer", nothingWritten(huge)],
])("beyond the greatest size the oldest go, and give their bytes back (%s)", (_, large) => {
  const { keys, add } = memory({ maxBytes: 2_000 });
  for (let number = 0; number < 1_000; number += 1) {
    add(`k${number}`, aborted(new SynodError("sql-error", "x".repeat(number % 200))));
    expect(keys.bytes).toBeLessThanOrEqual(2_000);
  }
  expect(keys.size).toBeGreaterThan(1);
  add("huge", large);
  expect([keys.size, keys.bytes]).toEqual([0, 0]);
});
