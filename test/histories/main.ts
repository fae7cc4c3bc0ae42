/**
 * `npm run histories -- --transactions 100000 --seed 7`: makes a good history, or reads one (`--file`), checks it, and tells every
 * anomaly as a story; `--report directory` writes it all down as a page as well. Exit code 1 when something forbidden was found.
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { decodeEvents } from "./history/ndjson.ts";
import { transactionsOf } from "./history/transactions.ts";
import { runStore } from "./generator/store.ts";
import { checkListAppend } from "./list-append/check.ts";
import { tellStory } from "./list-append/story.ts";
import { LEVELS } from "./promise.ts";
import { writeReport } from "./write-report.ts";

const { values } = parseArgs({
  options: {
    transactions: { type: "string", default: "100000" },
    seed: { type: "string", default: "1" },
    file: { type: "string" },
    level: { type: "string", default: "promised" },
    report: { type: "string" },
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
const stories = verdict.anomalies
  .filter(({ isForbidden }) => isForbidden)
  .map((judged) => tellStory(judged, transactions, verdict.keys));
for (const story of stories) console.log(`${story}\n`);
const { holds, isComplete, dependencies, counts } = verdict;
const figures = { level, transactions: transactions.length, keys: verdict.keys.length };
console.log(
  JSON.stringify({ ...figures, dependencies, seconds, isComplete, counts, holds }, undefined, 2),
);
if (values.report !== undefined) {
  const made = `made from seed ${values.seed}`;
  await writeReport(values.report, {
    title: "A history",
    facts: [
      ["from", values.file ?? made],
      ["held to", level],
    ],
    ...{ events, faults: [], leaders: [], samples: [] },
    verdicts: [{ checker: "list-append", holds, findings: stories }],
  });
}
if (!holds) process.exitCode = 1;
