/**
 * `npm run histories -- --transactions 100000 --seed 7`: makes a good history, or reads one (`--file`), checks it, and tells every
 * anomaly as a story. Exit code 1 when something forbidden was found.
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { decodeEvents } from "./history/ndjson.ts";
import { transactionsOf } from "./history/transactions.ts";
import { runStore } from "./generator/store.ts";
import { checkListAppend } from "./list-append/check.ts";
import { tellStory } from "./list-append/story.ts";
import { LEVELS } from "./promise.ts";

const { values } = parseArgs({
  options: {
    transactions: { type: "string", default: "100000" },
    seed: { type: "string", default: "1" },
    file: { type: "string" },
    level: { type: "string", default: "promised" },
  },
});

const level = LEVELS.find((name) => name === values.level);
if (level === undefined) throw new Error(`--level is one of ${LEVELS.join(", ")}`);
const events =
  values.file === undefined
    ? runStore({ seed: Number(values.seed), transactions: Number(values.transactions) })
    : decodeEvents(readFileSync(values.file, "utf8").split("\n"));
const startedMs = performance.now();
const transactions = transactionsOf(events);
const verdict = checkListAppend(transactions, level);
const seconds = (performance.now() - startedMs) / 1_000;
for (const judged of verdict.anomalies.filter(({ isForbidden }) => isForbidden)) {
  console.log(`${tellStory(judged, transactions, verdict.keys)}\n`);
}
const { holds, isComplete, dependencies, counts } = verdict;
const figures = { level, transactions: transactions.length, keys: verdict.keys.length };
console.log(
  JSON.stringify({ ...figures, dependencies, seconds, isComplete, counts, holds }, undefined, 2),
);
if (!holds) process.exitCode = 1;
