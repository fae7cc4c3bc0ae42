/**
 * `npm run simulate -- --seed 7` replays one seed; `--seeds 5000` tries many, `--minutes 10` tries for a while, from a random
 * first seed unless `--from` names one. Ends with exit code 1 and the seed's story when a promise is broken.
 */
import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import type { Mutation } from "./mutation.ts";
import { WORLD_OF } from "./mutations.ts";
import { storyOf } from "./report.ts";
import { simulate, type SimulationResult } from "./simulation.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    seeds: { type: "string" },
    from: { type: "string" },
    minutes: { type: "string" },
    mutation: { type: "string", default: "none" },
    world: { type: "string" },
    lines: { type: "string" },
  },
});

const MAX_SEED = 2 ** 31;
const mutation = values.mutation as Mutation;
const adjust =
  values.world === undefined ? undefined : WORLD_OF[values.world as keyof typeof WORLD_OF];

function run(seed: number): Promise<SimulationResult> {
  return simulate({ seed, mutation, ...(adjust !== undefined && { adjust }) });
}

async function main(): Promise<number> {
  if (values.seed !== undefined) return report(await run(Number(values.seed)), true);
  const first = Number(values.from ?? randomInt(MAX_SEED));
  const count = Number(values.seeds ?? (values.minutes === undefined ? 100 : MAX_SEED));
  const endMs = performance.now() + Number(values.minutes ?? Infinity) * 60_000;
  const startedMs = performance.now();
  const totals = new Map<string, number>();
  let [done, failed, events] = [0, 0, 0];
  for (; done < count && performance.now() < endMs; done += 1) {
    const result = await run((first + done) % MAX_SEED);
    events += result.events;
    for (const [what, times] of result.counts) totals.set(what, (totals.get(what) ?? 0) + times);
    failed += report(result, false);
  }
  const seconds = (performance.now() - startedMs) / 1000;
  for (const [what, times] of [...totals].sort())
    console.log(`${String(times).padStart(8)}  ${what}`);
  console.log(
    `${done} seeds from ${first}, ${failed} failed, ${events} events in ${seconds.toFixed(1)} s`,
  );
  return failed > 0 ? 1 : 0;
}

function report(result: SimulationResult, always: boolean): number {
  if (result.failure !== undefined || always) {
    console.log(storyOf(result, values.lines === undefined ? undefined : Number(values.lines)));
  }
  return result.failure === undefined ? 0 : 1;
}

process.exitCode = await main();
