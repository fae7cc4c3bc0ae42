/**
 * `npm run dev`: keeps a cluster running until Ctrl-C, for trying things by hand. Its data stays in .synod/dev for
 * the next time; where everybody listens is printed and written to .synod/cluster.json.
 */
import { mkdirSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { Command } from "commander";
import { seedAccounts } from "./accounts.ts";
import { runningProcess } from "./cluster/cluster-file.ts";
import { wholeNumber } from "../client/commands/parsing.ts";
import { endOnInterrupt, run } from "./interrupt.ts";
import { type LocalCluster, removeClusterDirectory, startLocalCluster } from "./local-cluster.ts";

/** One account on each shard; further shards repeat the names with a number. */
const OWNERS = ["alice", "bob", "carol", "dave", "erin"];
const OPENING_BALANCE = 1_000;

interface DevOptions {
  readonly coordinators: number;
  readonly shards: number;
  readonly basePort?: number;
  readonly fresh: boolean;
  readonly certificates?: string;
}

const command = new Command("npm run dev --")
  .description("Keep a local Synod cluster running.")
  .option("--coordinators <n>", "coordinator nodes", wholeNumber(1, 9), 3)
  .option("--shards <n>", "shards, each with a Postgres server", wholeNumber(1, 90), 3)
  .option("--base-port <port>", "fixed ports from here on", wholeNumber(1, 65_000))
  .option("--certificates <dir>", "speak TLS: what synod cert has made for the cluster local")
  .option("--fresh", "delete the data of the last time", false);

async function main(): Promise<void> {
  const options = command.parse().opts<DevOptions>();
  const home = resolve(".synod");
  const directory = join(home, "dev");
  const clusterFile = join(home, "cluster.json");
  mkdirSync(home, { recursive: true });
  const running = runningProcess(clusterFile);
  if (running !== undefined) {
    throw new Error(
      `a cluster runs here already: process ${running} of .synod/cluster.json is still there; end it, or delete that file`,
    );
  }
  if (options.fresh) removeClusterDirectory(directory);
  endOnInterrupt(() => {
    rmSync(clusterFile, { force: true });
  });
  const cluster = await startLocalCluster({ ...options, directory, clusterFile });
  await openAccounts(cluster);
  console.log(describe(cluster));
}

async function openAccounts(cluster: LocalCluster): Promise<void> {
  const seeds = cluster.participants.map(({ shard, postgresUrl }, index) =>
    seedAccounts({ shard, url: postgresUrl }, [{ id: owner(index), balance: OPENING_BALANCE }]),
  );
  await Promise.all(seeds);
}

function owner(index: number): string {
  const name = OWNERS[index % OWNERS.length] ?? "alice";
  const round = Math.floor(index / OWNERS.length);
  return round === 0 ? name : `${name}${round + 1}`;
}

function describe(cluster: LocalCluster): string {
  const coordinators = cluster.coordinators.map(
    (node) => `  coordinator ${node.id}   ${node.url}   pid ${node.pid}`,
  );
  const participants = cluster.participants.map(
    (node, index) =>
      `  shard ${node.shard}        ${node.url}   pid ${node.pid}   ${node.postgresUrl}   has ${owner(index)}`,
  );
  return [
    ...coordinators,
    ...participants,
    `  data and logs   ${cluster.directory}`,
    `  for scripts     ${cluster.clusterFile}`,
    "",
    cluster.participants.length > 1 ? example(cluster) : "",
    "Ctrl-C ends it all.",
  ].join("\n");
}

function example(cluster: LocalCluster): string {
  const [from, to] = cluster.participants;
  const update = (sign: string): string =>
    `update accounts set balance = balance ${sign} $1 where id = $2`;
  const body = {
    operations: [
      { shard: from?.shard, sql: update("-"), params: [10, owner(0)], expect: { rowCount: 1 } },
      { shard: to?.shard, sql: update("+"), params: [10, owner(1)], expect: { rowCount: 1 } },
    ],
  };
  return `Move 10 from ${owner(0)} to ${owner(1)}:

curl -s ${cluster.coordinators[0]?.url ?? ""}/v1/transactions \\
  -H 'Content-Type: application/json' -H "Idempotency-Key: $(date +%s%N)" \\
  -d '${JSON.stringify(body)}'
`;
}

run(main);
