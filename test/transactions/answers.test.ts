/** First answers by idempotency key: bounded by age, count and bytes, and never silently run again. */
import { Answers } from "../../coordinator/transactions/ledger/answers.ts";
import { keyTimeMs, scopedKey } from "../../shared/model/idempotency-key.ts";
import { key, transaction } from "./support/commands.ts";

const MINUTE_MS = 60_000;
const LIMITS = { retentionMs: 60 * MINUTE_MS, maxEntries: 3, maxBytes: 100_000 };

function give(answers: Answers, name: string, atMs: number, passedMs = atMs): void {
  answers.add(key(name), { transactionId: transaction(1, 1), results: [], atMs }, passedMs);
}

function answersAt(limits: Partial<typeof LIMITS>, ...timesMs: readonly number[]): Answers {
  const answers = new Answers({ ...LIMITS, ...limits });
  timesMs.forEach((atMs, index) => {
    give(answers, `k${index}`, atMs);
  });
  return answers;
}

/** A UUIDv7 made at that time. */
function uuid7(atMs: number): string {
  const time = atMs.toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7abc-8def-0123456789ab`;
}

test("an answer is kept until it is older than the retention, by the ledger's own time", () => {
  const answers = answersAt({}, 1_000);
  answers.forget(1_000 + 60 * MINUTE_MS);
  expect(answers.find("k0")).toBeDefined();
  answers.forget(1_001 + 60 * MINUTE_MS);
  expect(answers.find("k0")).toBeUndefined();
  expect(answers.size).toBe(0);
});

test("beyond the greatest number the oldest go", () => {
  const answers = answersAt({}, 1, 2, 3, 4);
  expect(answers.size).toBe(3);
  expect(answers.find("k0")).toBeUndefined();
  expect(answers.find("k1")).toBeDefined();
});

test("beyond the greatest size the oldest go, and one that is too large alone goes at once", () => {
  const answers = answersAt({ maxBytes: 1_200 }, 1, 2);
  expect(answers.size).toBe(2);
  const rows = [{ text: "x".repeat(600) }];
  const large = { transactionId: transaction(1, 9), results: [{ rowCount: 1, rows }], atMs: 3 };
  answers.add(key("large"), large, 3);
  expect([answers.find("k0"), answers.find("k1")]).toEqual([undefined, undefined]);
  expect(answers.find("large")?.results).toBe(large.results);
  const results = [{ rowCount: 1, rows: [{ text: "x".repeat(2_000) }] }];
  answers.add(key("huge"), { ...large, results }, 3);
  expect(answers.size).toBe(0);
});

test("what was forgotten gives its bytes back", () => {
  const answers = answersAt({ maxBytes: 1_200, maxEntries: 100 });
  for (let number = 0; number < 50; number += 1) {
    give(answers, `k${number}`, number * 60 * MINUTE_MS + number);
  }
  expect(answers.size).toBe(1);
});

test("a key with a time in it that may have been forgotten is expired; a younger one, or another kind, is not", () => {
  const forgottenAtMs = 5 * MINUTE_MS;
  const answers = answersAt({ maxEntries: 1 });
  give(answers, uuid7(forgottenAtMs), forgottenAtMs + 1_000);
  give(answers, uuid7(9 * MINUTE_MS), 9 * MINUTE_MS);
  expect(answers.isExpired(uuid7(forgottenAtMs))).toBe(true);
  expect(answers.isExpired(uuid7(forgottenAtMs + MINUTE_MS - 1))).toBe(true);
  expect(answers.isExpired(uuid7(forgottenAtMs + MINUTE_MS))).toBe(false);
  expect(answers.isExpired("order-17")).toBe(false);
});

test("whoever's key it is, the time in it counts", () => {
  const scoped = scopedKey("client-7", uuid7(5));
  expect(keyTimeMs(scoped)).toBe(5);
  const answers = new Answers({ ...LIMITS, maxEntries: 0 });
  give(answers, uuid7(5 * MINUTE_MS), 5 * MINUTE_MS);
  expect(answers.isExpired(scoped)).toBe(true);
  expect(scopedKey("a", "k")).not.toBe(scopedKey("b", "k"));
  expect(scopedKey(null, "k")).toBe("k");
});

test("a leader's clock that ran ahead, or a client's alone, makes no key look old that others make now", () => {
  const [nowMs, aheadMs] = [1_000 * MINUTE_MS, 500_000 * MINUTE_MS];
  const answers = answersAt({ maxEntries: 0 });
  give(answers, uuid7(nowMs), aheadMs, nowMs);
  give(answers, uuid7(aheadMs), nowMs, nowMs);
  expect(answers.size).toBe(0);
  expect(answers.isExpired(uuid7(nowMs + MINUTE_MS))).toBe(false);
  expect(answers.isExpired(uuid7(nowMs))).toBe(true);
});

test("a key that says no time, forgotten, makes no other one expired", () => {
  const answers = answersAt({ maxEntries: 0 }, 9 * MINUTE_MS);
  expect(answers.isExpired(uuid7(1))).toBe(false);
});

test("before anything was forgotten no key is expired, however old", () => {
  expect(answersAt({}, 1).isExpired(uuid7(1))).toBe(false);
});

test("the time in a UUIDv7 is read as RFC 9562 has it, and in nothing else", () => {
  expect(keyTimeMs("017F22E2-79B0-7CC3-98C4-DC0C0C07398F")).toBe(1_645_557_742_000);
  expect(keyTimeMs(uuid7(123_456_789))).toBe(123_456_789);
  expect(keyTimeMs("017f22e2-79b0-4cc3-98c4-dc0c0c07398f")).toBeUndefined();
  expect(keyTimeMs("017f22e2-79b0-7cc3-c8c4-dc0c0c07398f")).toBeUndefined();
  expect(keyTimeMs("key")).toBeUndefined();
});
