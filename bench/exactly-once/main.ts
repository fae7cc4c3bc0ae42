/**
 * `npm run exactly-once`: clients that repeat every unclear answer under the same idempotency key, while leaders are killed one
 * after the other; then every key is looked up in the databases. Exit code 0 only if no key was counted twice, none was
 * acknowledged and is missing, and none was called aborted and is there.
 */
import { resolve } from "node:path";
import { setTimeout } from "node:timers/promises";
import Table from "cli-table3";
import { Command } from "commander";
import { wholeNumber } from "../../client/commands/parsing.ts";
import { endOnInterrupt, run } from "../../demo/interrupt.ts";
import {
  type LocalCluster,
  removeClusterDirectory,
  startLocalCluster,
} from "../../demo/local-cluster.ts";
import { awaitLeader } from "../../demo/transfers/leader-kill.ts";
import { openKeyedClient } from "../../demo/transfers/transfer-client.ts";
import { auditCounters, createCounters, type Audit } from "./audit.ts";
import { nextCall, operationsOf, TIMEOUT_MS, type Call } from "./calls.ts";

interface Options {
  readonly seconds: number;
  readonly clients: number;
  readonly shards: number;
  readonly killEverySeconds: number;
  readonly json: boolean;
}

export interface ExactlyOnceReport extends Audit {
  readonly seconds: number;
  readonly clients: number;
  readonly leaderKills: number;
  readonly keys: number;
  readonly oneShardKeys: number;
  readonly twoShardKeys: number;
  /** Answers "unknown" and lost connections, each of them asked again. */
  readonly unclearAnswers: number;
  readonly holds: boolean;
}

/** Patient: what is looked for is a wrong count, and a machine that does much else elects slowly. */
const LEADER_DEADLINE_MS = 60_000;

const command = new Command("npm run exactly-once --")
  .description("Count keys under leader kills, and look for any that was counted twice or lost.")
  .option("--seconds <n>", "how long clients call", wholeNumber(1, 86_400), 20)
  .option("--clients <n>", "clients, each with one call at a time", wholeNumber(1, 1_000), 64)
  .option("--shards <n>", "shards, each with a Postgres server", wholeNumber(2, 90), 2)
  .option("--kill-every-seconds <n>", "from one kill to the next", wholeNumber(1, 3_600), 4)
  .option("--json", "print one JSON document instead of a table", false);

async function main(): Promise<void> {
  const options = command.parse().opts<Options>();
  const directory = resolve(".synod", `once-${new Date().toISOString().replace(/\D/g, "")}`);
  endOnInterrupt(() => {
    removeClusterDirectory(directory);
  });
  const cluster = await startLocalCluster({ shards: options.shards, directory });
  const report = await countKeys(cluster, options);
  await cluster.stop();
  console.log(options.json ? JSON.stringify(report, undefined, 2) : describe(report));
  if (report.holds) removeClusterDirectory(directory);
  else {
    console.error(`data and logs: ${directory}`);
    process.exitCode = 1;
  }
}

async function countKeys(cluster: LocalCluster, options: Options): Promise<ExactlyOnceReport> {
  const databases = cluster.participants.map(({ shard, postgresUrl: url }) => ({ shard, url }));
  await createCounters(databases);
  const calls: Call[] = [];
  let unclearAnswers = 0;
  const untilMs = performance.now() + options.seconds * 1_000;
  const clients = Array.from({ length: options.clients }, (_, startAt) =>
    keepCalling(cluster, startAt, untilMs, calls, () => (unclearAnswers += 1)),
  );
  const [leaderKills] = await Promise.all([
    keepKilling(cluster, untilMs, options.killEverySeconds * 1_000),
    ...clients,
  ]);
  const audit = await auditCounters(databases, calls);
  const twoShardKeys = calls.filter(({ shards }) => shards.length === 2).length;
  return {
    ...{ seconds: options.seconds, clients: options.clients, leaderKills },
    ...{ keys: calls.length, oneShardKeys: calls.length - twoShardKeys, twoShardKeys },
    unclearAnswers,
    ...audit,
    holds: wrongs(audit).every((count) => count === 0),
  };
}

function wrongs(audit: Audit): readonly number[] {
  const { countedTwice, acknowledgedAndMissing, abortedAndCounted } = audit;
  const { halfCounted, strange, unresolved } = audit;
  return [
    ...[countedTwice, acknowledgedAndMissing, abortedAndCounted],
    ...[halfCounted, strange, unresolved],
  ];
}

async function keepCalling(
  cluster: LocalCluster,
  startAt: number,
  untilMs: number,
  calls: Call[],
  onUnknown: () => void,
): Promise<void> {
  const urls = cluster.coordinators.map(({ url }) => url);
  const shards = cluster.participants.map(({ shard }) => shard);
  const client = openKeyedClient({ urls, startAt, onUnknown });
  while (performance.now() < untilMs) {
    const call = nextCall(shards);
    calls.push(call);
    call.outcome = await client.send(call.key, operationsOf(call), TIMEOUT_MS);
  }
  client.close();
}

/** Resolves with how many leaders were killed; each has been started again. */
async function keepKilling(
  cluster: LocalCluster,
  untilMs: number,
  everyMs: number,
): Promise<number> {
  for (let kills = 0; ; kills += 1) {
    await setTimeout(Math.min(everyMs, Math.max(0, untilMs - performance.now())));
    if (performance.now() >= untilMs) return kills;
    const leader = await awaitLeader(cluster, LEADER_DEADLINE_MS);
    await cluster.kill(leader);
    await awaitLeader(cluster, LEADER_DEADLINE_MS);
    await cluster.restart(leader);
  }
}

function describe({ holds, ...figures }: ExactlyOnceReport): string {
  const table = new Table({ head: ["", "count"], style: { head: [], border: [] } });
  for (const [name, value] of Object.entries(figures)) {
    table.push([name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`), String(value)]);
  }
  return `${table.toString()}\nexactly once: ${holds ? "yes" : "NO"}`;
}

run(main);
