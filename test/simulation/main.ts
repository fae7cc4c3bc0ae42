/**
 * `npm run simulate -- --seed 7` replays one seed; `--seeds 5000` tries many, `--minutes 10` tries for a while, from a random
 * first seed unless `--from` names one. Ends with exit code 1 and the seed's story when a promise is broken.
 */
import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { readMutation } from "./mutation.ts";
import { storyOf } from "./report.ts";
import { simulate } from "./simulation.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    seeds: { type: "string" },
    from: { type: "string" },
    minutes: { type: "string" },
    /** How much of the trace to show. */
    lines: { type: "string" },
    /** A safety rule to switch off, and the world in which that shows soonest; see mutation.ts. */
    mutation: { type: "string", default: "none" },
    world: { type: "string", default: "none" },
  },
});

const MAX_SEED = 2 ** 31;
const DEFAULT_SEEDS = 100;
const mutation = readMutation(values.mutation);
const world = readMutation(values.world);
const lines = values.lines === undefined ? undefined : Number(values.lines);

async function replay(seed: number): Promise<number> {
  const result = await simulate({ seed, mutation, world });
  console.log(storyOf(result, lines));
  return result.failure === undefined ? 0 : 1;
}

async function hunt(first: number, count: number, forMs: number): Promise<number> {
  const startedMs = performance.now();
  const totals = new Map<string, number>();
  let [done, failed] = [0, 0];
  for (; done < count && performance.now() - startedMs < forMs; done += 1) {
    const result = await simulate({ seed: (first + done) % MAX_SEED, mutation, world });
    for (const [what, times] of result.counts) totals.set(what, (totals.get(what) ?? 0) + times);
    if (result.failure === undefined) continue;
    failed += 1;
    console.log(storyOf(result, lines));
  }
  for (const [what, times] of [...totals].sort()) {
    console.log(`${String(times).padStart(9)}  ${what}`);
  }
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  console.log(`${done} seeds from ${first} in ${seconds} s, ${failed} failed`);
  return failed > 0 ? 1 : 0;
}

const { seed, seeds, from, minutes } = values;
const many = seeds ?? (minutes === undefined ? DEFAULT_SEEDS : MAX_SEED);
process.exitCode =
  seed === undefined
    ? await hunt(
        Number(from ?? randomInt(MAX_SEED)),
        Number(many),
        Number(minutes ?? Infinity) * 60_000,
      )
    : await replay(Number(seed));
