/**
 * One seed, from its first event to its last: a time with faults; then a time in which a minority stays broken and the others
 * must come to rest; then a time without faults, in which all must.
 */
import { assert } from "../../shared/model/assert.ts";
import { compareEverywhere } from "./checkers/last-comparison.ts";
import { demand } from "./checkers/violation.ts";
import { drawKnobs, type Knobs } from "./knobs.ts";
import type { Mutation } from "./mutation.ts";
import { worldFor } from "./mutation-worlds.ts";
import { restlessness } from "./quiet.ts";
import { SeededRandom } from "./world/seeded-random.ts";
import { World } from "./world/world.ts";

export interface SimulationOptions {
  readonly seed: number;
  readonly mutation?: Mutation;
  /** The world in which the absence of this rule would show soonest, instead of the one that the seed draws. */
  readonly world?: Mutation;
}

export interface SimulationResult {
  readonly seed: number;
  readonly mutation: Mutation;
  readonly world: Mutation;
  readonly failure: Error | undefined;
  /** Of everything that happened: the same seed gives the same hash. */
  readonly traceHash: string;
  readonly lastLines: readonly string[];
  readonly knobs: Knobs;
  readonly events: number;
  readonly virtualMs: number;
  readonly slots: number;
  readonly calls: number;
  readonly counts: ReadonlyMap<string, number>;
}

const QUIET_WITHIN_MS = 30_000;
const QUIET_CHECK_MS = 100;
const KEPT_LINES = 20_000;
/** A world that never comes to an end would hang the suite. */
const MAX_EVENTS = 2_000_000;

export async function simulate({
  seed,
  mutation = "none",
  world: worldOf = "none",
}: SimulationOptions): Promise<SimulationResult> {
  const random = new SeededRandom(seed);
  const knobs = worldFor(worldOf, drawKnobs(random.fork("knobs")));
  let failure: Error | undefined;
  const fail = (error: unknown): void => {
    failure ??= error instanceof Error ? error : new Error(String(error));
  };
  const world = new World({ random, knobs, mutation, onFailure: fail });
  process.on("unhandledRejection", fail);
  try {
    await live(world, () => failure);
  } catch (error) {
    fail(error);
  } finally {
    process.off("unhandledRejection", fail);
  }
  const { trace, scheduler, history, checkers, tally } = world;
  return {
    ...{ seed, mutation, world: worldOf, failure, knobs },
    traceHash: trace.hash,
    lastLines: trace.last(KEPT_LINES),
    events: scheduler.eventCount,
    virtualMs: scheduler.nowMs,
    slots: checkers.agreement.slots,
    calls: history.calls.length,
    counts: tally.counts,
  };
}

async function live(world: World, failure: () => Error | undefined): Promise<void> {
  world.start();
  await runUntil(world, world.knobs.activeMs, failure);
  world.faults.stop();
  await comeToRest(world, failure);
  world.tally.count("a quorum came to rest");
  if (world.faults.lasting.broken.length > 0) {
    world.faults.end();
    await comeToRest(world, failure);
  }
  for (const { node } of world.coordinators) {
    assert(node !== undefined, "every node is up when all is quiet");
  }
  compareEverywhere({
    ...{ checkers: world.checkers, history: world.history, coordinators: world.coordinators },
    books: world.participants.map(({ database }) => database),
  });
  const contradicted = world.contradicted();
  const unnoticed = contradicted.filter((gid) => !world.incidents.has(gid));
  // What was destroyed by hand cannot be made whole; but somebody must have been told.
  if (contradicted.length > 0 && unnoticed.length === 0) return;
  world.checkers.auditor.closeTheBooks(world.history);
  demand(
    unnoticed.length === 0,
    "no silent loss",
    () => `nobody was told of ${unnoticed.join(" ")}`,
  );
}

async function comeToRest(world: World, failure: () => Error | undefined): Promise<void> {
  const deadlineMs = world.scheduler.nowMs + QUIET_WITHIN_MS;
  for (;;) {
    await runUntil(world, world.scheduler.nowMs + QUIET_CHECK_MS, failure);
    const missing = restlessness(world);
    if (missing === undefined) return;
    demand(
      world.scheduler.nowMs < deadlineMs,
      "liveness",
      () => `${QUIET_WITHIN_MS} ms after the last fault, ${missing}`,
    );
  }
}

function runUntil(world: World, untilMs: number, failure: () => Error | undefined): Promise<void> {
  return world.scheduler.run(untilMs, () => {
    const found = failure();
    if (found !== undefined) throw found;
    world.checkers.observe();
    assert(world.scheduler.eventCount < MAX_EVENTS, "a simulation ends");
  });
}
