/**
 * A checker that never complains is worth nothing: each safety rule is switched off in turn, the simulation must notice, and
 * with the rule in force the very same seeds must be clean. Prints which seed noticed what, how soon, and how to see it.
 */
import { MUTATIONS } from "./mutation.ts";
import { replayOf } from "./report.ts";
import { expectPromisesKept, firstCatch, seedsUpTo } from "./seeds.ts";

/** Each finds it by itself more or less often. */
const MAX_SEEDS = 40;
const TIMEOUT_MS = 120_000;

/** What a broken rule may lead to first, as the checkers call it. */
const CAUGHT_AS: Readonly<Record<(typeof MUTATIONS)[number], readonly string[]>> = {
  "no floor": ["T1", "T5"],
  "promises forgotten": ["A1"],
  "told before durable": ["A4"],
  "reports ignored": ["C2"],
  "cut before durable": ["S3", "C3", "A1"],
  "snapshot not restored": ["S2"],
  "answers not kept": ["S2"],
  "a key for each node": ["exactly once", "acknowledged is applied"],
  "aborted without proof": ["same outcome", "honest abort", "honest status"],
  "aborts forgotten": ["same outcome", "honest abort"],
  "unknown told as aborted": ["T1"],
  "aborted before the barrier": ["T1", "T5"],
  "undecided is aborted": ["T1", "T5"],
  "own ballot aborted": ["T5", "no incident"],
  "silence is a confirmation": ["acknowledged is applied"],
  "any tag is a vote": ["T2"],
  "absence is evidence": ["acknowledged is applied"],
  "receipt left out": ["T1"],
  "carriers forgotten": ["exactly once", "no incident"],
  "any incarnation": ["exactly once", "no incident"],
  "a member is left out": ["acknowledged is applied", "T5", "honest results"],
  "waits both ways": ["no false victim"],
  "decides alone": ["T5"],
  "snapshots not compared": ["whole reads"],
  "read without proof": ["whole reads"],
};

const rows: string[] = [];

test.each(MUTATIONS)(
  "the absence of a rule is noticed, and its presence is not: %s",
  async (mutation) => {
    const caught = await firstCatch(mutation, MAX_SEEDS);
    if (caught === undefined) throw new Error(`no seed up to ${MAX_SEEDS} notices`);
    const { seed, events, virtualMs, failure } = caught;
    const what = failure?.message ?? "";
    const after = `${(virtualMs / 1000).toFixed(1)} s, ${events} events`;
    rows.push(`${mutation.padEnd(28)} seed ${seed}, after ${after}: ${what}`);
    rows.push(`${"".padEnd(28)} ${replayOf(caught)}`);
    expect(CAUGHT_AS[mutation]).toContain(what.split(":")[0]);
    await expectPromisesKept(seedsUpTo(seed), mutation);
  },
  TIMEOUT_MS,
);

afterAll(() => {
  process.stdout.write(`\nrules switched off in the whole stack\n${rows.join("\n")}\n`);
});
