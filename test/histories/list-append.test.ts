/** Good histories are cleared; every anomaly, planted into a good history, is found under its name and told. */
import { SeededRandom } from "../simulation/world/seeded-random.ts";
import { plant, PLANS, WRITE_SKEW } from "./generator/plant.ts";
import { runStore } from "./generator/store.ts";
import { transactionsOf } from "./history/transactions.ts";
import { nameOf, type AnomalyName } from "./list-append/anomaly.ts";
import { checkListAppend, type Verdict } from "./list-append/check.ts";
import { tellStory } from "./list-append/story.ts";
import type { Level } from "./promise.ts";

const SEEDS = Array.from({ length: 12 }, (_, index) => index + 1);
const NAMES = Object.keys(PLANS) as AnomalyName[];

function forbiddenNames({ counts }: Verdict): readonly AnomalyName[] {
  return counts.filter(({ forbidden }) => forbidden > 0).map(({ name }) => name);
}

function checkPlanted(seed: number, plan: (typeof PLANS)[AnomalyName], level: Level = "promised") {
  const events = runStore({ seed, transactions: 150 });
  const at = new SeededRandom(seed).integer(events.length);
  const transactions = transactionsOf(plant(events, plan, at));
  return { transactions, verdict: checkListAppend(transactions, level) };
}

test.each(SEEDS)("seed %i: a store that keeps its promises is cleared", (seed) => {
  const transactions = transactionsOf(runStore({ seed, transactions: 1_500 }));
  const verdict = checkListAppend(transactions, "promised");
  expect(forbiddenNames(verdict)).toEqual([]);
  expect(verdict.holds).toBe(true);
  const outcomes = new Set(transactions.map(({ outcome }) => outcome));
  expect(outcomes).toEqual(new Set(["committed", "aborted", "unclear"]));
});

test("the good histories are no easy ones: plain reads show fractures, circles and lost updates", () => {
  const transactions = transactionsOf(runStore({ seed: 1, transactions: 8_000 }));
  const { counts } = checkListAppend(transactions, "promised");
  const allowed = counts.filter((count) => count.allowed > 0).map(({ name }) => name);
  expect(allowed).toEqual(["fractured read", "lost update", "G-single", "G2"]);
});

test.each(NAMES)("a planted %s is found, forbidden and told, whatever the seed", (name) => {
  for (const seed of SEEDS) {
    const { transactions, verdict } = checkPlanted(seed, PLANS[name]);
    expect(forbiddenNames(verdict)).toContain(name);
    expect(verdict.holds).toBe(false);
    const told = verdict.anomalies.find((it) => it.isForbidden && nameOf(it.anomaly) === name)!;
    expect(tellStory(told, transactions, verdict.keys)).toMatch(
      /^.* \(FORBIDDEN\)\n(.*\n)*.*planted/,
    );
  }
});

test.each([
  ["readCommitted", []],
  ["atomicVisibility", []],
  ["promised", []],
  ["serializable", ["G2"]],
  ["strictSerializable", ["G2"]],
] as const)("write skew over two shards, by plain reads, under %s: %j", (level, expected) => {
  const { verdict } = checkPlanted(3, WRITE_SKEW, level);
  const told = verdict.anomalies.filter(({ anomaly }) => nameOf(anomaly) === "G2");
  expect(told.length).toBeGreaterThan(0);
  expect(forbiddenNames(verdict).filter((name) => name === "G2")).toEqual(expected);
});

test.each([
  ["readCommitted", false],
  ["atomicVisibility", true],
  ["promised", true],
] as const)("a fractured atomic read under %s is forbidden: %s", (level, expected) => {
  const { transactions } = checkPlanted(1, PLANS["fractured read"]);
  const planted = transactions.filter(({ name }) => name.startsWith("planted"));
  expect(forbiddenNames(checkListAppend(planted, level)).includes("fractured read")).toBe(expected);
});

test("a circle is told step by step, with what each transaction did", () => {
  const transactions = transactionsOf(plant([], PLANS.G1c, 0));
  const { anomalies, keys } = checkListAppend(transactions, "promised");
  expect(anomalies.map((judged) => tellStory(judged, transactions, keys))[0]).toBe(
    [
      "G1c (FORBIDDEN)",
      "  planted-1 → planted-2: writeRead, planted-2 read from s1/planted-x what planted-1 had appended",
      "  planted-2 → planted-1: writeRead, planted-1 read from s2/planted-y what planted-2 had appended",
      "  so planted-1 would have to come before itself",
      "    planted-1 (process 900000, 0.0 ms to 0.0 ms, committed): append 1 to s1/planted-x, read s2/planted-y = [1]",
      "    planted-2 (process 900001, 0.0 ms to 0.0 ms, committed): append 1 to s2/planted-y, read s1/planted-x = [1]",
    ].join("\n"),
  );
});

test("what lies in a circle of 20,000 transactions is found without running out of stack", () => {
  const length = 20_000;
  const transactions = Array.from({ length }, (_, index) => ({
    ...{ name: `t${index}`, process: index, startMs: 0, endMs: 1 },
    ...{ outcome: "committed" as const, acknowledged: "applied" as const },
    operations: [
      { kind: "append" as const, shard: "s1", key: `k${index}`, value: 1 },
      {
        ...{ kind: "readList" as const, shard: "s1", key: `k${(index + 1) % length}` },
        ...{ view: "locking" as const, list: [1] },
      },
    ],
  }));
  const { anomalies } = checkListAppend(transactions, "promised");
  const cycle = anomalies.find(({ isForbidden }) => isForbidden)!.anomaly;
  expect(cycle).toMatchObject({ kind: "cycle", name: "G1c" });
  expect(cycle.kind === "cycle" && cycle.steps.length).toBe(length);
});
