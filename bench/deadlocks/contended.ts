/**
 * Much waiting and no deadlock: whoever is aborted as one is a false victim.
 *
 * Why there can be none: think of rows as points and of each transaction as a line between the two that it takes. A circle of
 * waits needs a circle of lines, and here the lines are trees, with one transaction at a time on each: a star around each hot
 * row, whose other ends belong to one client each, and a long path through all shards, on which neighbours meet and waits
 * string together. Among them are what makes a look at several shards see what never was: transactions that time out
 * while they wait or fail holding what others wait for, transactions of one shard, and sessions that do not belong to Synod.
 */
import { setTimeout } from "node:timers/promises";
import pg from "pg";
import {
  type Database,
  fail,
  type Kind,
  openRows,
  type Operation,
  pause,
  take,
  transact,
} from "./transactions.ts";

const HOT_ROWS = 2;
const HOLD_MS = 15;
const FOREIGN_HOLD_MS = 40;
const FOREIGN_PAUSE_MS = 100;
const LONG_TIMEOUT_MS = 10_000;
const INTERACTIVE_SHARE = 0.3;
const SHORT_TIMEOUTS_MS = [60, 120, 250, 500];

/** How often each answer was given. */
export interface Contended extends Readonly<
  Record<Exclude<Kind, "inLane">, ReadonlyMap<string, number>>
> {
  readonly elapsedMs: number;
}

export async function runContended(
  url: string,
  databases: readonly Database[],
  clients: number,
  durationMs: number,
): Promise<Contended> {
  const shards = databases.map(({ shard }) => shard);
  const hot = Array.from({ length: HOT_ROWS }, (_, index) => `hot ${index}`);
  const own = Array.from({ length: clients + 1 }, (_, index) => [`own ${index}`, `path ${index}`]);
  await openRows(databases, [...hot, ...own.flat()]);
  const beganAtMs = performance.now();
  const goesOn = (): boolean => performance.now() - beganAtMs < durationMs;
  const answers = { oneShot: new Map<string, number>(), interactive: new Map<string, number>() };
  const client = async (index: number): Promise<void> => {
    while (goesOn()) {
      const kind = chance(INTERACTIVE_SHARE) ? "interactive" : chance(0.5) ? "inLane" : "oneShot";
      const operations = nextOperations(shards, index);
      const { code } = await transact(url, operations, nextTimeoutMs(), kind);
      const ofKind = answers[kind === "interactive" ? kind : "oneShot"];
      ofKind.set(code, (ofKind.get(code) ?? 0) + 1);
    }
  };
  await Promise.all([
    ...Array.from({ length: clients }, (_, index) => client(index)),
    ...databases.map((database) => occupy(database, hot, goesOn)),
  ]);
  return { ...answers, elapsedMs: performance.now() - beganAtMs };
}

function nextTimeoutMs(): number {
  return chance(0.25) ? pick(SHORT_TIMEOUTS_MS) : LONG_TIMEOUT_MS;
}

function nextOperations(shards: readonly string[], client: number): readonly Operation[] {
  const operations = chance(0.4) ? onPath(shards, client) : onStar(shards, client);
  const { shard } = pick(operations);
  return chance(0.05) ? [...operations, fail(shard)] : operations;
}

/** This client's piece of the path: its row on one shard, its neighbour's on the next. */
function onPath(shards: readonly string[], client: number): readonly Operation[] {
  return [client, client + 1].flatMap((place) => {
    const shard = shards[place % shards.length] ?? "";
    return [take(shard, `path ${place}`), pause(shard, HOLD_MS)];
  });
}

function onStar(shards: readonly string[], client: number): readonly Operation[] {
  const shard = pick(shards);
  const row = `hot ${Math.floor(Math.random() * HOT_ROWS)}`;
  const hot = [take(shard, row), pause(shard, HOLD_MS)];
  if (chance(0.2)) return hot;
  const other = pick(shards.filter((each) => each !== shard));
  return [...hot, take(other, `own ${client}`)];
}

/** A client of the database itself, that holds hot rows now and then, one at a time. */
async function occupy(
  { url }: Database,
  rows: readonly string[],
  goesOn: () => boolean,
): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  while (goesOn()) {
    await client.query("begin");
    await client.query("select 1 from deadlock_rows where name = $1 for update", [pick(rows)]);
    await setTimeout(FOREIGN_HOLD_MS);
    await client.query("commit");
    await setTimeout(FOREIGN_PAUSE_MS);
  }
  await client.end();
}

function chance(share: number): boolean {
  return Math.random() < share;
}

function pick<Value>(values: readonly Value[]): Value {
  const value = values[Math.floor(Math.random() * values.length)];
  if (value === undefined) throw new Error("there is something to pick from");
  return value;
}
