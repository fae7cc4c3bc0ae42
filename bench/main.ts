/**
 * `npm run bench`: a bare Postgres client and Synod side by side, on the same servers in the same minutes. Exit code 0 only
 * if the money adds up at the end.
 */
import { cpus } from "node:os";
import { resolve } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { wholeNumber } from "../client/commands/parsing.ts";
import { endOnInterrupt, run } from "../demo/interrupt.ts";
import {
  removeClusterDirectory,
  startLocalCluster,
  type LocalCluster,
} from "../demo/local-cluster.ts";
import { checkSums, openAccounts } from "./accounts.ts";
import { measure, type Plan } from "./measure.ts";
import { describeReport, makeReport, type Report } from "./report.ts";

interface BenchOptions extends Plan {
  readonly json: boolean;
}

const SHARDS = 2;
/** Postgres takes 200 connections, and the participants need theirs. */
const MAX_CLIENTS = 100;
const DEFAULT_CLIENTS = [1, 8, 16, 32, 64];

function clientCounts(text: string): number[] {
  const counts = text.split(",").map(Number);
  const areGood = counts.every((n) => Number.isInteger(n) && n >= 1 && n <= MAX_CLIENTS);
  if (!areGood) {
    throw new InvalidArgumentError(`It must look like 1,8,16, each from 1 to ${MAX_CLIENTS}.`);
  }
  return counts;
}

const command = new Command("npm run bench --")
  .description("Measure Synod beside a bare Postgres client, on the same servers.")
  .option("--seconds <n>", "how long each repeat measures", wholeNumber(1, 3_600), 2)
  .option("--repeats <n>", "repeats of which the median counts", wholeNumber(1, 1_000), 3)
  .option("--clients <list>", "numbers of clients", clientCounts, DEFAULT_CLIENTS)
  .option("--json", "print one JSON document instead of the table", false);

async function main(): Promise<void> {
  const options = command.parse().opts<BenchOptions>();
  const directory = resolve(".synod", `bench-${new Date().toISOString().replace(/\D/g, "")}`);
  const remove = (): void => {
    removeClusterDirectory(directory);
  };
  endOnInterrupt(remove);
  console.error(`starting 3 coordinators, ${SHARDS} participants and ${SHARDS} Postgres servers`);
  const cluster = await startLocalCluster({ directory, coordinators: 3, shards: SHARDS });
  const report = await compare(cluster, options);
  await cluster.stop();
  console.log(options.json ? JSON.stringify(report, undefined, 2) : describeReport(report));
  if (report.sumsAreRight) remove();
  else {
    console.error(`data and logs: ${directory}`);
    process.exitCode = 1;
  }
}

async function compare(cluster: LocalCluster, options: BenchOptions): Promise<Report> {
  const [one, other] = cluster.participants.map(({ shard, postgresUrl: url }) => ({ shard, url }));
  if (one === undefined || other === undefined) throw new Error("the cluster has two shards");
  const { clients, repeats, seconds } = options;
  const plan = { clients, repeats, seconds };
  await openAccounts([one, other]);
  const { runs, added } = await measure(cluster, [one, other], plan, (line) => {
    console.error(line);
  });
  return makeReport(plan, runs, await checkSums([one, other], added), cpus().length);
}

run(main);
