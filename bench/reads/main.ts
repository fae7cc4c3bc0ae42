/**
 * `npm run reads`: the bank. Money moves between shards, leaders are killed and participants stand still; meanwhile some clients
 * count all of it by `POST /v1/reads` or on a snapshot, others by transactions that read each shard for itself. No transfer makes
 * money, so whoever counts another sum has seen half of one. Exit code 0 only if the former never do, and the latter did.
 */
import { mkdirSync } from "node:fs";
import { resolve } from "node:path";
import { Command } from "commander";
import { seedAccounts } from "../../demo/accounts.ts";
import { wholeNumber } from "../../client/commands/parsing.ts";
import { endOnInterrupt, run } from "../../demo/interrupt.ts";
import {
  type LocalCluster,
  removeClusterDirectory,
  startLocalCluster,
} from "../../demo/local-cluster.ts";
import { Tally } from "../../demo/transfers/tally.ts";
import { runWorkload } from "../../demo/transfers/workload.ts";
import { disturb, type Disturbances } from "./chaos.ts";
import { count } from "./counting.ts";
import { describeReads, isWhole, type ReadsReport } from "./report.ts";

interface Options {
  readonly seconds: number;
  readonly shards: number;
  readonly writers: number;
  readonly readers: number;
  readonly chaos: boolean;
  readonly json: boolean;
}

const ACCOUNTS_PER_SHARD = 50;
const OPENING_BALANCE = 10_000;

const command = new Command("npm run reads --")
  .description("Count the money of a bank while it moves, by whole reads and by plain ones.")
  .option("--seconds <n>", "how long", wholeNumber(1, 86_400), 60)
  .option("--shards <n>", "shards, each with a Postgres server", wholeNumber(2, 90), 3)
  .option("--writers <n>", "clients that transfer", wholeNumber(1, 1_000), 16)
  .option("--readers <n>", "clients of each kind that count", wholeNumber(1, 1_000), 8)
  .option("--no-chaos", "kill no leader and let no participant stand still")
  .option("--json", "print one JSON document instead of the table", false);

async function main(): Promise<void> {
  const options = command.parse().opts<Options>();
  const directory = resolve(".synod", `reads-${new Date().toISOString().replace(/\D/g, "")}`);
  mkdirSync(directory, { recursive: true });
  endOnInterrupt(() => {
    removeClusterDirectory(directory);
  });
  const cluster = await startLocalCluster({ shards: options.shards, directory });
  const report = await measure(cluster, options);
  await cluster.stop();
  removeClusterDirectory(directory);
  console.log(options.json ? JSON.stringify(report, undefined, 2) : describeReads(report));
  if (!isWhole(report)) process.exitCode = 1;
}

async function measure(cluster: LocalCluster, options: Options): Promise<ReadsReport> {
  const shards = cluster.participants.map(({ shard }) => shard);
  const accounts = new Map(
    shards.map((shard) => {
      const names = Array.from({ length: ACCOUNTS_PER_SHARD }, (_, index) => `${shard}-${index}`);
      return [shard, names] as const;
    }),
  );
  for (const { shard, postgresUrl: url } of cluster.participants) {
    const opening = (accounts.get(shard) ?? []).map((id) => ({ id, balance: OPENING_BALANCE }));
    await seedAccounts({ shard, url }, opening);
  }
  const urls = cluster.coordinators.map(({ url }) => url);
  const durationMs = options.seconds * 1_000;
  const untilMs = performance.now() + durationMs;
  const expected = BigInt(shards.length * ACCOUNTS_PER_SHARD * OPENING_BALANCE);
  const tally = new Tally(performance.now());
  const counting = { urls, shards, expected, clients: options.readers, untilMs };
  const none: Disturbances = { leadersKilled: 0, participantsPaused: 0 };
  const [whole, plain, snapshot, repeatable, disturbances] = await Promise.all([
    count({ ...counting, way: "/v1/reads" }),
    count({ ...counting, way: "/v1/transactions" }),
    count({ ...counting, way: "snapshot" }),
    count({ ...counting, way: "repeatable read" }),
    options.chaos ? disturb(cluster, untilMs) : none,
    runWorkload({ urls, clients: options.writers, durationMs, accounts }, tally),
  ]);
  const { seconds, writers, readers } = options;
  const committed = tally.committed;
  return {
    seconds,
    writers,
    readers,
    shards: shards.length,
    committed,
    whole,
    plain,
    snapshot,
    repeatable,
    disturbances,
  };
}

run(main);
