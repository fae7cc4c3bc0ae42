/**
 * `npm run fuzz -- --requests 5000 --seed 7`: a local cluster on real Postgres, and requests made from the API document that it
 * serves. Prints counts by status and code; exit code 1 when a node breaks what the document promises, ends, leaves a
 * branch behind, or when money is made or lost. The requests are the seed's; which ids they name depends on the answers.
 */
import { randomInt } from "node:crypto";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { endOnInterrupt, run } from "../../demo/interrupt.ts";
import { removeClusterDirectory, startLocalCluster } from "../../demo/local-cluster.ts";
import { fuzz } from "./fuzz.ts";

const MAX_SEED = 2 ** 31 - 1;
const { values } = parseArgs({
  options: {
    requests: { type: "string", default: "5000" },
    seed: { type: "string", default: String(randomInt(MAX_SEED)) },
  },
});

async function main(): Promise<void> {
  const directory = resolve(".synod", `fuzz-${new Date().toISOString().replace(/\D/g, "")}`);
  endOnInterrupt(() => {
    removeClusterDirectory(directory);
  });
  const cluster = await startLocalCluster({ shards: 2, directory });
  const { requests, seed } = values;
  const report = await fuzz(cluster, { requests: Number(requests), seed: Number(seed) });
  await cluster.stop();
  console.log(JSON.stringify(report, undefined, 2));
  for (const finding of report.findings) console.error(finding);
  if (report.findings.length === 0) removeClusterDirectory(directory);
  else process.exitCode = 1;
}

run(main);
