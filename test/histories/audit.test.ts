/** A run whose books balance is cleared; each kind of false entry, in whichever transaction it is made, is found under its name. */
import type { Command } from "../../coordinator/transactions/command.ts";
import { globalId } from "../../shared/model/global-id.ts";
import {
  ballot,
  carrierId,
  clusterId,
  nodeId,
  shardId,
  transactionId,
  type Xid,
} from "../../shared/model/ids.ts";
import { SeededRandom } from "../simulation/world/seeded-random.ts";
import { auditAtomicity } from "./audit/audit.ts";
import { decisionsOf } from "./audit/decisions.ts";
import { askedOf, sayingOf, sayingsOf } from "./audit/feeds.ts";
import { tellFinding, type FindingKind } from "./audit/findings.ts";
import {
  durationMsOf,
  inDoubtSpans,
  summarizeInDoubt,
  type ShardSample,
} from "./audit/in-doubt.ts";
import { MISDEEDS } from "./generator/misdeeds.ts";
import { makeRun } from "./generator/run.ts";
import { runStore } from "./generator/store.ts";
import { HistoryFault } from "./history/history-fault.ts";
import { transactionsOf } from "./history/transactions.ts";

const SEEDS = Array.from({ length: 6 }, (_, index) => index + 1);
const KINDS = Object.keys(MISDEEDS) as FindingKind[];

test.each(SEEDS)("seed %i: an honest run is cleared", (seed) => {
  const run = makeRun(seed, 400);
  const audit = auditAtomicity(run);
  expect(audit.findings).toEqual([]);
  expect(audit.holds).toBe(true);
  expect(audit.committed + audit.aborted + audit.unclear).toBe(400);
  expect(Math.min(audit.committed, audit.aborted, audit.unclear)).toBeGreaterThan(0);
});

test.each(KINDS)("%s: found wherever it is planted, and told with its names", (kind) => {
  for (const seed of SEEDS) {
    const run = makeRun(seed, 200);
    const { names, alsoFound } = MISDEEDS[kind](run, new SeededRandom(seed));
    const audit = auditAtomicity(run);
    expect(audit.holds).toBe(false);
    expect([...audit.counts.keys()].sort()).toEqual([kind, ...alsoFound].sort());
    const story = tellFinding(audit.findings.find((it) => it.kind === kind)!);
    for (const name of names) expect(story).toContain(name);
  }
});

test("a client that was told of an abort of what the log committed has seen a split outcome", () => {
  const run = makeRun(1, 60);
  const [decision] = run.logs[0]!.decisions.filter(({ outcome }) => outcome === "committed");
  const transaction = decision!.transactions[0]!;
  run.sayings.push({ by: "node 3 to client 9", transaction, outcome: "aborted" });
  const { counts, findings } = auditAtomicity(run);
  expect([...counts.keys()]).toEqual(["split outcome", "undead"]);
  expect(tellFinding(findings[0]!)).toMatch(new RegExp(`^${transaction} .* node 3 to client 9$`));
});

test("what was decided and is still prepared is unfinished, and neither half done nor lost", () => {
  const run = makeRun(1, 60);
  const { names } = MISDEEDS.unfinished(run, new SeededRandom(1));
  expect(auditAtomicity(run).findings.map(tellFinding)).toEqual([
    expect.stringContaining(`${names[0]} is decided to commit`),
  ]);
});

test("what is done, and prepared beside that, would be done twice", () => {
  const run = makeRun(1, 60);
  const { branches } = run.logs[0]!.decisions.find(({ outcome }) => outcome === "committed")!;
  const { shard, gid } = branches[0]!;
  run.shards.find((it) => it.shard === shard)!.prepared.push({ gid, xid: "6" });
  const { counts } = auditAtomicity(run);
  expect([...counts.keys()].sort()).toEqual(["duplicated", "unfinished", "wrong branch"]);
});

test("without a complete log nothing is called undecided", () => {
  const run = makeRun(2, 60);
  MISDEEDS.undecided(run, new SeededRandom(2));
  for (const log of run.logs) log.isComplete = false;
  expect(auditAtomicity(run).findings).toEqual([]);
});

test("a word about what nobody asked for is a mistake of the recording", () => {
  const run = makeRun(3, 10);
  run.sayings.push({ by: "node 1", transaction: "elsewhere", outcome: "committed" });
  expect(() => auditAtomicity(run)).toThrow(HistoryFault);
});

test("a history says what was asked and told, and only what is definite", () => {
  const transactions = transactionsOf(runStore({ seed: 4, transactions: 300 }));
  const sayings = sayingsOf(transactions);
  const definite = transactions.filter(({ outcome }) => outcome !== "unclear");
  expect(definite.length).toBeLessThan(transactions.length);
  expect(sayings.map(({ transaction }) => transaction)).toEqual(definite.map(({ name }) => name));
  const appended = transactions[0]!.operations.filter(({ kind }) => kind === "append");
  expect(new Set(askedOf(transactions[0]!).writes)).toEqual(
    new Set(appended.map(({ shard }) => shard)),
  );
  for (const state of ["active", "unknown", "forgotten", "not_started"]) {
    expect(sayingOf("node 1", "t1", state)).toEqual([]);
  }
});

describe("decisions, read off a log", () => {
  const [first, second] = [ballot(1, nodeId(1)), ballot(2, nodeId(2))];
  const commit = (of: typeof first, sequence: number, key: string | null): Command => {
    const carrier = carrierId(of, sequence);
    const shard = shardId("s1");
    const branch = { shard, gid: globalId(clusterId("c"), carrier, shard), xid: "7" as Xid };
    const idempotency = key === null ? null : { key, fingerprint: "f" };
    const id = transactionId(of, sequence, "tailtail");
    const members = [{ transactionId: id, idempotency, results: null }];
    return { kind: "commit", carrierId: carrier, ballot: of, branches: [branch], members, atMs: 1 };
  };
  const barrier = (of: typeof first): Command => ({ kind: "barrier", ballot: of, atMs: 1 });

  test("a commit below the floor is void, and so is a second one under a key", () => {
    const log = [
      barrier(first),
      commit(first, 1, "alice k1"),
      barrier(second),
      commit(first, 2, "alice k2"),
      commit(second, 1, "alice k1"),
      commit(second, 2, null),
    ];
    const named = new Map([["2-2-2-tailtail", "t4"]]);
    expect(
      decisionsOf(log, named).map((it) => [it.carrier, it.outcome, ...it.transactions]),
    ).toEqual([
      ["1-1-1", "committed", "k1"],
      ["1-1-2", "void", "k2"],
      ["2-2-1", "void", "k1"],
      ["2-2-2", "committed", "t4"],
    ]);
  });

  test("a commit that is in two slots is one", () => {
    const decisions = decisionsOf([commit(first, 1, "k1"), commit(first, 1, "k1")]);
    expect(decisions).toMatchObject([{ outcome: "committed", branches: [{ xid: "7" }] }]);
  });
});

describe("time in doubt", () => {
  const sample = (
    atMs: number,
    ...branches: readonly (readonly [string, number])[]
  ): ShardSample => {
    const sampled = branches.map(([gid, preparedForMs]) => ({ gid, xid: "7", preparedForMs }));
    return { kind: "prepared", shard: "s1", atMs, branches: sampled };
  };

  test("lasts from Postgres' own time of the prepare to the first sample without the branch", () => {
    const spans = inDoubtSpans([
      sample(100, ["a", 30]),
      sample(200, ["a", 130], ["b", 1]),
      sample(300, ["b", 101]),
      sample(450),
    ]);
    expect(spans.map((span) => [span.gid, span.fromMs, span.untilMs])).toEqual([
      ["a", 70, 300],
      ["b", 199, 450],
    ]);
  });

  test("goes on while a shard cannot be asked, and is open when no sample ends it", () => {
    const spans = inDoubtSpans([
      sample(100, ["a", 10]),
      { kind: "unreachable", shard: "s1", atMs: 5_000 },
      sample(6_000, ["a", 5_910]),
    ]);
    expect(spans).toMatchObject([{ gid: "a", fromMs: 90, lastSeenMs: 6_000, untilMs: null }]);
    expect(spans.map(durationMsOf)).toEqual([5_910]);
  });

  test("a gid that comes back as another branch is another span", () => {
    const again = { gid: "a", xid: "8", preparedForMs: 1 };
    const spans = inDoubtSpans([
      sample(100, ["a", 10]),
      { kind: "prepared", shard: "s1", atMs: 200, branches: [again] },
    ]);
    expect(spans.map(durationMsOf)).toEqual([110, 1]);
  });

  test("is summed up by nearest rank", () => {
    const branches = Array.from({ length: 100 }, (_, at) => [`g${at}`, at] as const);
    const spans = inDoubtSpans([sample(1_000, ...branches), sample(1_001)]);
    expect(summarizeInDoubt(spans)).toEqual({
      ...{ branches: 100, open: 0, p50Ms: 50, p99Ms: 99, maxMs: 100 },
    });
    expect(summarizeInDoubt([])).toEqual({
      ...{ branches: 0, open: 0, p50Ms: null, p99Ms: null, maxMs: null },
    });
  });

  test("samples of a shard that go back in time are refused", () => {
    expect(() => inDoubtSpans([sample(2), sample(1)])).toThrow(HistoryFault);
  });
});
