/** One half of the fixed seeds, and a seed that nobody has tried before. */
import { randomInt } from "node:crypto";
import { expectEverythingSeen, expectPromisesKept, SEEDS, shareOfSeeds } from "./seeds.ts";

const TIMEOUT_MS = 1_000 * Math.max(SEEDS, 60);
const MAX_SEED = 2 ** 31;

test(
  "every promise is kept in the odd seeds",
  async () => {
    await expectEverythingSeen(shareOfSeeds(1, 2));
  },
  TIMEOUT_MS,
);

test(
  "every promise is kept in a seed drawn at random",
  async () => {
    const seed = randomInt(MAX_SEED);
    process.stdout.write(`the random seed of this run is ${seed}\n`);
    await expectPromisesKept([seed]);
  },
  TIMEOUT_MS,
);
