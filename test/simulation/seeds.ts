/** Seeds for the suite: the same ones every time, shared out among its files, and what they must have seen together. */
import type { Mutation } from "./mutation.ts";
import { storyOf } from "./report.ts";
import { simulate, type SimulationResult } from "./simulation.ts";

/** `SYNOD_SIMULATION_SEEDS` overrides it. */
const DEFAULT_SEEDS = 300;
export const SEEDS = Number(process.env["SYNOD_SIMULATION_SEEDS"] ?? DEFAULT_SEEDS);

/** Fewer seeds than these may by chance miss some of what is listed below. */
const ENOUGH_SEEDS = 100;
const MUST_BE_SEEN = [
  "leading",
  "stopped leading",
  "coordinator crashed",
  "snapshot taken",
  "snapshot restored",
  "caught up by snapshot",
  "participant crashed",
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
  "settle: committed",
  "settle: aborted",
  "replayed",
  "outcome-unknown (unknown)",
  "coordinator-changed (aborted)",
  "overloaded (not_started)",
  "verdict unknown",
  "status of committed: committed",
  "status of aborted: aborted",
];

/** Throws the story of the first run in which a promise was broken. */
export async function expectPromisesKept(
  seeds: readonly number[],
  world: Mutation = "none",
): Promise<void> {
  const seen = new Set<string>();
  for (const seed of seeds) {
    const result = await simulate({ seed, world });
    if (result.failure !== undefined) throw new Error(storyOf(result));
    for (const what of result.counts.keys()) seen.add(what);
  }
  if (world !== "none" || seeds.length < ENOUGH_SEEDS) return;
  expect(MUST_BE_SEEN.filter((what) => !seen.has(what))).toEqual([]);
}

/** Every seed up to `SEEDS` that leaves this remainder: one share for each file of the suite. */
export function shareOfSeeds(share: number, shares: number): readonly number[] {
  const all = Array.from({ length: SEEDS }, (_, index) => index + 1);
  return all.filter((seed) => seed % shares === share);
}

/** The run with the fewest events in which the mutation was caught; undefined when it was caught by none. */
export async function shortestCatch(
  mutation: Mutation,
  seeds: readonly number[],
): Promise<SimulationResult | undefined> {
  let shortest: SimulationResult | undefined;
  for (const seed of seeds) {
    const result = await simulate({ seed, mutation, world: mutation });
    const isShorter = shortest === undefined || result.events < shortest.events;
    if (result.failure !== undefined && isShorter) shortest = result;
  }
  return shortest;
}
