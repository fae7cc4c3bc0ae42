/**
 * `npm run dev`: keeps a cluster running until Ctrl-C, for trying things by hand. Its data stays in .synod/dev for
 * the next time; where everybody listens is printed and written to .synod/cluster.json.
 */
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { Command } from "commander";
import { seedAccounts } from "./accounts.ts";
import { runningProcess } from "./cluster/cluster-file.ts";
import { withheldSettings } from "./cluster/node-process.ts";
import { wholeNumber } from "../client/commands/parsing.ts";
import { endOnInterrupt, run } from "./interrupt.ts";
import { CAN_START_AGAIN, startAgainOnSignal } from "./start-again.ts";
import { type LocalCluster, removeClusterDirectory, startLocalCluster } from "./local-cluster.ts";

/** One account on each shard; further shards repeat the names with a number. */
const OWNERS = ["alice", "bob", "carol", "dave", "erin"];
const OPENING_BALANCE = 1_000;
/** In place of variables. */
const OPTIONS: Readonly<Record<string, string>> = {
  SYNOD_CLIENTS_FILE: "--clients",
  SYNOD_STATEMENTS_FILE: "--statements",
  SYNOD_TLS_CERT: "--certificates",
  SYNOD_TLS_KEY: "--certificates",
};

interface DevOptions {
  readonly coordinators: number;
  readonly shards: number;
  readonly basePort?: number;
  readonly fresh: boolean;
  readonly certificates?: string;
  readonly clients?: string;
  readonly statements?: string;
  readonly tokenFile?: string;
}

const command = new Command("npm run dev --")
  .description("Keep a local Synod cluster running.")
  .option("--coordinators <n>", "coordinator nodes", wholeNumber(1, 9), 3)
  .option("--shards <n>", "shards, each with a Postgres server", wholeNumber(1, 90), 3)
  .option("--base-port <port>", "fixed ports from here on", wholeNumber(1, 65_000))
  .option("--clients <file>", "who may ask for what (SYNOD_CLIENTS_FILE of the coordinators)")
  .option("--statements <file>", "statements that have names (SYNOD_STATEMENTS_FILE)")
  .option("--token-file <file>", "with --clients: a token with which to wait for the shards")
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
  for (const name of withheldSettings()) console.error(withheld(name));
  const { tokenFile } = options;
  const cluster = await startLocalCluster({
    ...{ ...options, directory, clusterFile, env: settingsOf(options) },
    ...(tokenFile !== undefined && { token: readFileSync(tokenFile, "utf8").trim() }),
  });
  await openAccounts(cluster);
  console.log(describe(cluster, options));
  startAgainOnSignal(cluster);
}

function settingsOf({ clients, statements }: DevOptions): Readonly<Record<string, string>> {
  return {
    ...(clients !== undefined && { SYNOD_CLIENTS_FILE: resolve(clients) }),
    ...(statements !== undefined && { SYNOD_STATEMENTS_FILE: resolve(statements) }),
  };
}

function withheld(name: string): string {
  const option = OPTIONS[name];
  const instead = option === undefined ? "" : `; give it as ${option}`;
  return `IGNORED: ${name} of the environment does not reach the cluster${instead}`;
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

function describe(cluster: LocalCluster, options: DevOptions): string {
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
    cluster.participants.length > 1 ? example(cluster, options) : "",
    ...(CAN_START_AGAIN ? [`kill -USR2 ${process.pid} starts again what was killed.`] : []),
    "Ctrl-C ends it all.",
  ].join("\n");
}

function example(cluster: LocalCluster, { certificates, clients }: DevOptions): string {
  const [from, to] = cluster.participants;
  const update = (sign: string): string =>
    `update accounts set balance = balance ${sign} $1 where id = $2`;
  const body = {
    operations: [
      { shard: from?.shard, sql: update("-"), params: [10, owner(0)], expect: { rowCount: 1 } },
      { shard: to?.shard, sql: update("+"), params: [10, owner(1)], expect: { rowCount: 1 } },
    ],
  };
  const shown = [
    ...(certificates === undefined ? [] : [`  --cacert ${join(certificates, "ca.pem")} \\\n`]),
    ...(clients === undefined ? [] : ['  -H "Authorization: Bearer $TOKEN" \\\n']),
  ].join("");
  return `Move 10 from ${owner(0)} to ${owner(1)}:

curl -s ${cluster.coordinators[0]?.url ?? ""}/v1/transactions \\
${shown}  -H 'Content-Type: application/json' -H "Idempotency-Key: $(date +%s%N)" \\
  -d '${JSON.stringify(body)}'
`;
}

run(main);
