/** Seeds for the suite: the same ones every time, shared out among its files, and what they must have seen together. */
import { hunt } from "./hunt.ts";
import type { Mutation } from "./mutation.ts";
import { storyOf } from "./report.ts";
import { simulate, type SimulationResult } from "./simulation.ts";

/** `SYNOD_SIMULATION_SEEDS` overrides it. */
const DEFAULT_SEEDS = 2_000;
export const SEEDS = Number(process.env["SYNOD_SIMULATION_SEEDS"] ?? DEFAULT_SEEDS);

/** Fewer seeds than these may by chance miss some of what is listed below. */
const ENOUGH_SEEDS = 500;
const MUST_BE_SEEN = [
  "leading",
  "stopped leading",
  "leader with a hung log handed over",
  "fault: coordinator ended, fault",
  "fault: participant ended, fault",
  "fault: unsynced writes lost",
  "fault: unsynced writes torn",
  "fault: append failed",
  "snapshot taken",
  "snapshot restored",
  "caught up by snapshot",
  "found a branch in doubt",
  "commit chosen under a later leader, committed",
  "execute: prepared",
  "execute: readOnly",
  "execute: no",
  "commit: committed by commandTag",
  "commit: committed by transactionStatus",
  "commit: retry",
  "abort: aborted",
  "executeOnePhase: committed",
  "executeOnePhase: committed before",
  "executeOnePhase: unknown",
  "statement: ran",
  "statement: failed",
  "statement: no",
  "prepare: prepared",
  "prepare: readOnly",
  "prepare: no",
  "keep: kept",
  "transaction-expired (aborted)",
  "already-committed (committed)",
  "interactive verdict committed",
  "interactive verdict aborted",
  "interactive step: deadlock",
  "settle: committed",
  "settle: aborted",
  "replayed",
  "read: whole",
  "read: transaction-timeout",
  "outcome-unknown (unknown)",
  "coordinator-changed (not_started)",
  "idempotency-in-progress (unknown)",
  "abort replayed",
  "overloaded (not_started)",
  "verdict unknown",
  "status of committed: committed",
  "status of aborted: aborted",
];

/**
 * Simulates them in a process of its own: what runs in Jest's is slower by half. A broken promise tells its story at once, and
 * fails the test when all have run.
 */
export async function expectEverythingSeen(seeds: readonly number[]): Promise<void> {
  const none = { mutation: "none", world: "none" } as const;
  const totals = await hunt({ ...none, seeds, forMs: Infinity, jobs: 1, lines: undefined });
  process.stdout.write(`\n${totals.line()}\n`);
  expect(totals.failed).toEqual([]);
  expect(totals.seeds).toBe(seeds.length);
  if (seeds.length < ENOUGH_SEEDS) return;
  expect(MUST_BE_SEEN.filter((what) => !totals.seen.has(what))).toEqual([]);
}

/** Throws the story of the first run in which a promise was broken. */
export async function expectPromisesKept(
  seeds: readonly number[],
  world: Mutation = "none",
): Promise<void> {
  for (const seed of seeds) {
    const result = await simulate({ seed, world });
    if (result.failure !== undefined) throw new Error(storyOf(result));
  }
}

/** Every seed up to `SEEDS` that leaves this remainder: one share for each file of the suite. */
export function shareOfSeeds(share: number, shares: number): readonly number[] {
  return seedsUpTo(SEEDS).filter((seed) => seed % shares === share);
}

export function seedsUpTo(last: number): readonly number[] {
  return Array.from({ length: last }, (_, index) => index + 1);
}

/** The first seed that catches the mutation in its own world; undefined when none does. */
export async function firstCatch(
  mutation: Mutation,
  maxSeeds: number,
): Promise<SimulationResult | undefined> {
  for (const seed of seedsUpTo(maxSeeds)) {
    const result = await simulate({ seed, mutation, world: mutation });
    if (result.failure !== undefined) return result;
  }
  return undefined;
}
