/**
 * `npm run deadlocks`: how soon deadlocks between shards are found, and whether any is found where there is none. Exit code 0
 * only if every deadlock that was made cost one transaction, 99 of 100 were found in time, and there was no false victim.
 */
import { resolve } from "node:path";
import { Command } from "commander";
import { wholeNumber } from "../../client/commands/parsing.ts";
import { endOnInterrupt, run } from "../../demo/interrupt.ts";
import {
  type LocalCluster,
  removeClusterDirectory,
  startLocalCluster,
} from "../../demo/local-cluster.ts";
import { INTERACTIVE_LIMITS } from "../../shared/model/interactive.ts";
import { runContended } from "./contended.ts";
import { induceMany } from "./induced.ts";
import { describeContended, describeDetection, falseVictims } from "./report.ts";
import type { Database } from "./transactions.ts";

interface Options {
  readonly deadlocks: number;
  readonly minutes: number;
  readonly clients: number;
}

const SHARDS = 3;
const MS_PER_MINUTE = 60_000;
/** Postgres takes 200 connections, and the participants need theirs. */
const MAX_CLIENTS = 60;
const BOUND_MS = 500;

const command = new Command("npm run deadlocks --")
  .description("Measure how deadlocks between shards are found, and look for false victims.")
  .option("--deadlocks <n>", "how many deadlocks are made", wholeNumber(1, 100_000), 300)
  .option("--minutes <n>", "how long the load without deadlocks runs", wholeNumber(0, 1_440), 1)
  .option("--clients <n>", "clients of that load", wholeNumber(2, MAX_CLIENTS), 32);

async function main(): Promise<void> {
  const options = command.parse().opts<Options>();
  const directory = resolve(".synod", `deadlocks-${new Date().toISOString().replace(/\D/g, "")}`);
  const remove = (): void => {
    removeClusterDirectory(directory);
  };
  endOnInterrupt(remove);
  console.error(`starting 3 coordinators, ${SHARDS} participants and ${SHARDS} Postgres servers`);
  const cluster = await startLocalCluster({
    ...{ directory, coordinators: 3, shards: SHARDS },
    env: { SYNOD_MAX_OPEN_PER_CLIENT: String(INTERACTIVE_LIMITS.maxOpen) },
  });
  const isGood = await measure(cluster, options);
  await cluster.stop();
  if (isGood) remove();
  else {
    console.error(`data and logs: ${directory}`);
    process.exitCode = 1;
  }
}

async function measure(cluster: LocalCluster, options: Options): Promise<boolean> {
  const leader = await cluster.leader();
  if (leader === undefined) throw new Error("the cluster has no leader");
  const databases: Database[] = cluster.participants.map(({ shard, postgresUrl }) => {
    return { shard, url: postgresUrl };
  });
  const detection = await induceMany(leader.url, databases, options.deadlocks);
  console.log(describeDetection(detection));
  const contended = await runContended(
    leader.url,
    databases,
    options.clients,
    options.minutes * MS_PER_MINUTE,
  );
  console.log(describeContended(contended));
  const wasSoon = detection.all.p99Ms < BOUND_MS && detection.others.size === 0;
  return wasSoon && falseVictims(contended) === 0;
}

run(main);
