/**
 * Long histories with time in them, from seeds: agreement and the rest hold all the way, and at the end a healed group
 * decides again. A failing seed is named; `walk(nodes, seed)` replays it.
 */
import { Walk, type WalkResult } from "./support/walk.ts";

const STEPS = 5_000;
const SEEDS = 60;

function walk(nodes: number, seed: number): WalkResult {
  try {
    return new Walk({ nodes, seed, steps: STEPS }).run();
  } catch (error) {
    throw new Error(`seed ${seed} with ${nodes} nodes`, { cause: error });
  }
}

test.each([3, 5])("%i nodes keep every invariant on random walks, and recover", (nodes) => {
  const total = { chosen: 0, elections: 0, crashes: 0, recordsLost: 0, snapshots: 0, restores: 0 };
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const seen = walk(nodes, seed);
    for (const what of Object.keys(total) as (keyof WalkResult)[]) total[what] += seen[what];
  }
  process.stdout.write(`random walks, ${nodes} nodes, ${SEEDS} seeds: ${JSON.stringify(total)}\n`);
  expect(total.chosen).toBeGreaterThan(15 * SEEDS);
  expect(total.elections).toBeGreaterThan(1.5 * SEEDS);
  expect(total.crashes).toBeGreaterThan(3 * SEEDS);
  expect(total.recordsLost).toBeGreaterThan(SEEDS);
  expect(total.snapshots).toBeGreaterThan(3 * SEEDS);
  expect(total.restores).toBeGreaterThan(SEEDS / 2);
});

test("the same seed walks the same way", () => {
  expect(walk(3, 7)).toEqual(walk(3, 7));
});

test("walks notice nodes that come back without a memory", () => {
  const broken: string[] = [];
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    try {
      new Walk({ nodes: 3, seed, steps: STEPS, remembers: () => false }).run();
    } catch (error) {
      broken.push(error instanceof Error ? error.message : "");
    }
  }
  expect(broken.filter((what) => /^C1: slot \d+ has two values/.test(what))).not.toEqual([]);
  expect(broken.filter((what) => what.startsWith("E1: "))).not.toEqual([]);
});
