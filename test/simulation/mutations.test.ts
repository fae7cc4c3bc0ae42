/**
 * A checker that never complains is worth nothing: each safety rule is switched off in turn, the simulation must notice, and
 * with the rule in force the very same seeds must be clean.
 */
import { MUTATIONS } from "./mutation.ts";
import { storyOf } from "./report.ts";
import { expectPromisesKept, shortestCatch } from "./seeds.ts";

/** How many seeds it takes; each finds it by itself more or less often. */
const SEEDS_OF = {
  "no floor": 15,
  "promises forgotten": 40,
  "told before durable": 20,
  "any tag is a vote": 5,
  "absence is evidence": 5,
} as const;
const seedsOf = (mutation: keyof typeof SEEDS_OF): readonly number[] =>
  Array.from({ length: SEEDS_OF[mutation] }, (_, index) => index + 1);
const SHOWN_LINES = 60;
const TIMEOUT_MS = 120_000;

/** What a broken rule leads to, as the checkers call it. */
const CAUGHT_AS = {
  "no floor": "T5",
  "promises forgotten": "C1",
  "told before durable": "C1",
  "any tag is a vote": "no incident",
  "absence is evidence": "acknowledged is applied",
} as const;

test.each(MUTATIONS)(
  "the absence of a rule is noticed: %s",
  async (mutation) => {
    const caught = await shortestCatch(mutation, seedsOf(mutation));
    if (caught === undefined) throw new Error(`no seed up to ${SEEDS_OF[mutation]} notices`);
    process.stdout.write(
      `\n${mutation}, in the shortest schedule:\n${storyOf(caught, SHOWN_LINES)}\n`,
    );
    expect(caught.failure?.message.split(":")[0]).toBe(CAUGHT_AS[mutation]);
  },
  TIMEOUT_MS,
);

test.each(MUTATIONS)(
  "with the rule in force the same seeds are clean: %s",
  async (mutation) => {
    await expectPromisesKept(seedsOf(mutation), mutation);
  },
  TIMEOUT_MS,
);
