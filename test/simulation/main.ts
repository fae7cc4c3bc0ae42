/**
 * `npm run simulate -- --seed 7` replays one seed; `--seeds 5000` tries many, `--hours 1` (or `--minutes 10`) tries for a while,
 * from a random first seed unless `--from` names one, in `--jobs` processes. Ends with exit code 1 and the seed's story when a
 * promise is broken.
 */
import { randomInt } from "node:crypto";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { hunt, MAX_SEED, seedsFrom } from "./hunt.ts";
import { readMutation } from "./mutation.ts";
import { storyOf } from "./report.ts";
import { simulate } from "./simulation.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    seeds: { type: "string" },
    from: { type: "string" },
    hours: { type: "string" },
    minutes: { type: "string" },
    jobs: { type: "string" },
    /** How much of the trace to show. */
    lines: { type: "string" },
    /** A safety rule to switch off, and the world in which that shows soonest; see mutation.ts. */
    mutation: { type: "string", default: "none" },
    world: { type: "string", default: "none" },
  },
});

const MS_IN_A_MINUTE = 60_000;
const DEFAULT_SEEDS = 100;
const mutation = readMutation(values.mutation);
const world = readMutation(values.world);
const lines = numberFrom("lines");

function numberFrom(name: "seed" | "seeds" | "from" | "hours" | "minutes" | "jobs" | "lines") {
  const text = values[name];
  if (text === undefined) return undefined;
  const number = Number(text);
  if (text.trim() !== "" && number >= 0) return number;
  throw new Error(`--${name} wants a number, not "${text}"`);
}

async function replay(seed: number): Promise<number> {
  const result = await simulate({ seed, mutation, world });
  console.log(storyOf(result, lines));
  return result.failure === undefined ? 0 : 1;
}

async function huntAsTold(): Promise<number> {
  const hours = numberFrom("hours");
  const minutes = hours === undefined ? numberFrom("minutes") : hours * 60;
  const firstSeed = numberFrom("from") ?? randomInt(MAX_SEED);
  const jobs = Math.max(1, numberFrom("jobs") ?? availableParallelism());
  const count = numberFrom("seeds") ?? (minutes === undefined ? DEFAULT_SEEDS : MAX_SEED);
  console.log(`seeds from ${firstSeed} on, in ${jobs} processes`);
  const totals = await hunt({
    ...{ seeds: seedsFrom(firstSeed, count), jobs, mutation, world, lines },
    forMs: (minutes ?? Infinity) * MS_IN_A_MINUTE,
  });
  console.log(`\n${totals.tables()}`);
  return totals.failed.length > 0 ? 1 : 0;
}

const seed = numberFrom("seed");
process.exitCode = seed === undefined ? await huntAsTold() : await replay(seed);
