/**
 * `npm run demo`: the main job, shown. Money moves between accounts on several Postgres databases, through a
 * coordinator group whose leader is killed on the way; at the end the books are balanced from the databases
 * themselves. Exit code 0 only if they balance.
 */
import { resolve } from "node:path";
import { Command } from "commander";
import { type Account, seedAccounts, shardOf } from "./accounts.ts";
import { wholeNumber } from "../client/commands/parsing.ts";
import { readPlace, readToken } from "../client/commands/settings.ts";
import { Synod } from "../client/sdk.ts";
import { endOnInterrupt, run } from "./interrupt.ts";
import { type LocalCluster, removeClusterDirectory, startLocalCluster } from "./local-cluster.ts";
import { readBooks } from "./transfers/audit.ts";
import { balanceBooks } from "./transfers/books.ts";
import { killLeaderHalfway, type RunEvent } from "./transfers/leader-kill.ts";
import { type Progress, showProgress } from "./transfers/progress.ts";
import { openAccounts, readBooksThrough } from "./transfers/running-cluster.ts";
import { describeReport, makeReport, type Report } from "./transfers/report.ts";
import { Tally } from "./transfers/tally.ts";
import type { Access } from "./transfers/transfer-client.ts";
import { runWorkload } from "./transfers/workload.ts";

interface DemoOptions {
  readonly seconds: number;
  readonly clients: number;
  readonly shards: number;
  readonly coordinators: number;
  readonly basePort?: number;
  readonly kill: boolean;
  readonly keep: boolean;
  readonly json: boolean;
  readonly endpoints?: string;
  readonly tokenFile?: string;
  readonly ca?: string;
}

const ACCOUNTS = 1_000;
const OPENING_BALANCE = 1_000;
const SILENT: Progress = { event: () => undefined, stop: () => undefined };

const command = new Command("npm run demo --")
  .description("Move money between Postgres databases while the leading coordinator is killed.")
  .option("--seconds <n>", "how long the clients send transfers", wholeNumber(1, 86_400), 20)
  .option("--clients <n>", "clients, each with one transfer at a time", wholeNumber(1, 1_000), 32)
  .option("--shards <n>", "shards, each with a Postgres server", wholeNumber(2, 90), 3)
  .option("--coordinators <n>", "coordinator nodes", wholeNumber(1, 9), 3)
  .option("--base-port <port>", "fixed ports from here on", wholeNumber(1, 65_000))
  .option("--no-kill", "let the leader live")
  .option("--keep", "keep data and logs under .synod/", false)
  .option("--endpoints <urls>", "a cluster that runs already; its leader is let alone")
  .option("--token-file <file>", "holds the token for it")
  .option("--ca <file>", "the authority of its coordinators' certificates")
  .option("--json", "print one JSON document instead of progress and table", false);

async function main(): Promise<void> {
  const options = command.parse().opts<DemoOptions>();
  if (options.endpoints !== undefined) {
    const report = await demonstrateOn(options);
    console.log(options.json ? JSON.stringify(report, undefined, 2) : describeReport(report));
    if (!report.books.balance) process.exitCode = 1;
    return;
  }
  const directory = resolve(".synod", `demo-${new Date().toISOString().replace(/\D/g, "")}`);
  const tell = options.json ? (): void => undefined : console.log;
  const remove = (): void => {
    if (!options.keep) removeClusterDirectory(directory);
  };
  endOnInterrupt(remove);
  tell(
    `starting ${options.coordinators} coordinators, ${options.shards} participants and ${options.shards} Postgres servers`,
  );
  const report = await demonstrate(options, directory).catch((error: unknown) => {
    throw new Error(`the demo failed; data and logs: ${directory}`, { cause: error });
  });
  console.log(options.json ? JSON.stringify(report, undefined, 2) : describeReport(report));
  if (report.books.balance) remove();
  else process.exitCode = 1;
  if (options.keep || !report.books.balance) tell(`data and logs: ${directory}`);
}

async function demonstrate(options: DemoOptions, directory: string): Promise<Report> {
  const cluster = await startLocalCluster({ ...options, directory });
  const report = await moveMoney(cluster, options);
  await cluster.stop();
  return report;
}

async function moveMoney(cluster: LocalCluster, options: DemoOptions): Promise<Report> {
  const shards = cluster.participants.map(({ shard }) => shard);
  const databases = cluster.participants.map(({ shard, postgresUrl }) => {
    return { shard, url: postgresUrl };
  });
  const accounts = openingAccounts(shards);
  await Promise.all(databases.map((it) => seedAccounts(it, accounts.get(it.shard) ?? [])));
  const urls = cluster.coordinators.map(({ url }) => url);
  const kill = options.kill ? killLeaderHalfway.bind(undefined, cluster) : undefined;
  const { tally, events } = await sendTransfers(options, { urls, accounts }, kill);
  const balances = [...accounts.values()].flat().map(({ id, balance }) => [id, balance] as const);
  const books = balanceBooks(await readBooks(databases), tally.sent, new Map(balances));
  return makeReport(options, tally, events, books);
}

/** On a cluster that runs already, through its coordinators alone. */
async function demonstrateOn(options: DemoOptions): Promise<Report> {
  const { endpoints: urls, authority } = readPlace(options, process.env);
  const token = readToken(options, process.env);
  const access = {
    ...(token !== undefined && { token }),
    ...(authority !== undefined && { authority }),
  };
  const synod = new Synod({ endpoints: urls, ...access });
  try {
    const { members, shards } = await synod.cluster();
    const accounts = openingAccounts(shards.map(({ shard }) => shard));
    const openings = await openAccounts(synod, accounts);
    const { tally, events } = await sendTransfers(options, { urls, access, accounts });
    const balances = openings.flatMap((opening) => [...opening.balances]);
    const found = await readBooksThrough(synod, openings);
    const books = balanceBooks(found, tally.sent, new Map(balances));
    const shape = { ...options, coordinators: members.length, shards: shards.length };
    return makeReport(shape, tally, events, books);
  } finally {
    synod.close();
  }
}

interface Target {
  readonly urls: readonly string[];
  readonly access?: Access | undefined;
  readonly accounts: ReadonlyMap<string, readonly Account[]>;
}

/** `accident` happens meanwhile. */
async function sendTransfers(
  options: DemoOptions,
  { urls, access, accounts }: Target,
  accident?: (durationMs: number, tell: (event: RunEvent) => void) => Promise<void>,
): Promise<{ readonly tally: Tally; readonly events: readonly RunEvent[] }> {
  const durationMs = options.seconds * 1_000;
  const tally = new Tally(performance.now());
  const progress = options.json ? SILENT : showProgress(tally, process.stdout);
  const events: RunEvent[] = [];
  const onEvent = (event: RunEvent): void => {
    events.push(event);
    progress.event(event);
  };
  const ids = [...accounts].map(([shard, list]) => [shard, list.map(({ id }) => id)] as const);
  const workload = runWorkload(
    { urls, access, clients: options.clients, durationMs, accounts: new Map(ids) },
    tally,
  ).finally(() => {
    tally.notePause(performance.now());
  });
  await Promise.all([workload, accident?.(durationMs, onEvent)]);
  progress.stop();
  return { tally, events };
}

function openingAccounts(shards: readonly string[]): ReadonlyMap<string, readonly Account[]> {
  const byShard = new Map(shards.map((shard) => [shard, [] as Account[]]));
  for (let number = 0; number < ACCOUNTS; number += 1) {
    const id = `account-${String(number).padStart(4, "0")}`;
    byShard.get(shardOf(id, shards))?.push({ id, balance: OPENING_BALANCE });
  }
  return byShard;
}

run(main);
