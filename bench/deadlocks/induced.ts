/**
 * Deadlocks made on purpose: each of several transactions takes a row on its own shard, and a moment later asks for the row
 * that the next one has taken on another shard.
 */
import { quantile } from "../load.ts";
import { Gates, passGate } from "./gates.ts";
import { type Database, type Kind, openRows, take, transact } from "./transactions.ts";

const TIMEOUT_MS = 20_000;

export interface Induced {
  /** The problem of each transaction that did not commit. A deadlock that nobody finds ends in timeouts. */
  readonly codes: readonly string[];
  /** From the moment at which nothing but the others holds any of them back to the answer of the one that gave way. */
  readonly detectedAfterMs: number;
}

/** One transaction for each of the shards, of these kinds in turn. */
export async function induceDeadlock(
  url: string,
  databases: readonly Database[],
  row: string,
  kinds: readonly Kind[] = ["oneShot"],
): Promise<Induced> {
  const gates = await Gates.open(databases);
  try {
    return await induceBehind(gates, url, shardsOf(databases), row, kinds);
  } finally {
    await gates.close();
  }
}

async function induceBehind(
  gates: Gates,
  url: string,
  shards: readonly string[],
  row: string,
  kinds: readonly Kind[],
): Promise<Induced> {
  await gates.shut(shards, row);
  const oneEnded = new AbortController();
  const answers = shards.map(async (shard, place) => {
    const next = shards[(place + 1) % shards.length] ?? shard;
    const operations = [take(shard, row), passGate(next, row), take(next, row)];
    const answer = await transact(url, operations, TIMEOUT_MS, kinds[place % kinds.length]);
    oneEnded.abort();
    return answer;
  });
  const all = Promise.all(answers);
  await Promise.race([all, gates.awaitCrowd(shards, row, oneEnded.signal)]);
  const liftedAtMs = performance.now();
  await gates.lift(shards, row);
  const aborted = (await all).filter(({ code }) => code !== "committed");
  return {
    codes: aborted.map(({ code }) => code),
    detectedAfterMs: Math.max(...aborted.map(({ atMs }) => atMs)) - liftedAtMs,
  };
}

function shardsOf(databases: readonly Database[]): string[] {
  return databases.map(({ shard }) => shard);
}

export interface Figures {
  readonly made: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export interface Detection {
  readonly all: Figures;
  /** By what the circle is made of. */
  readonly ofMix: ReadonlyMap<string, Figures>;
  /** What came of those that did not end in exactly one `deadlock`. */
  readonly others: ReadonlyMap<string, number>;
}

const MIXES: readonly (readonly [string, readonly Kind[]])[] = [
  ["in one request", ["oneShot"]],
  ["interactive", ["interactive"]],
  ["of both kinds", ["interactive", "oneShot"]],
];

/** Rows of which as many are deadlocked at once. */
const ROWS = ["row 0", "row 1", "row 2", "row 3"];
/** Until programs and connections are warm. */
const WARM_UP_ROUNDS = 2;

/** Over two and three shards in turn, several at a time. */
export async function induceMany(
  url: string,
  databases: readonly Database[],
  deadlocks: number,
): Promise<Detection> {
  const shards = shardsOf(databases);
  await openRows(databases, ROWS);
  const places = await Promise.all(
    ROWS.map(async (row) => ({ row, gates: await Gates.open(databases) })),
  );
  const times = new Map<string, number[]>(MIXES.map(([mix]) => [mix, []]));
  const others = new Map<string, number>();
  for (let [round, made] = [-WARM_UP_ROUNDS, 0]; made < deadlocks; round += 1) {
    for (const [mix, kinds] of MIXES) {
      const induced = await Promise.all(
        places.map(({ row, gates }, place) =>
          induceBehind(gates, url, shards.slice((round + place) & 1), row, kinds),
        ),
      );
      if (round < 0) continue;
      for (const { codes, detectedAfterMs } of induced) {
        made += 1;
        times.get(mix)?.push(detectedAfterMs);
        const end = codes.join(" and ");
        if (end !== "deadlock") others.set(end, (others.get(end) ?? 0) + 1);
      }
    }
  }
  await Promise.all(places.map(({ gates }) => gates.close()));
  return {
    all: figuresOf([...times.values()].flat()),
    ofMix: new Map([...times].map(([mix, each]) => [mix, figuresOf(each)])),
    others,
  };
}

function figuresOf(times: readonly number[]): Figures {
  const ascending = Float64Array.from(times).sort();
  return {
    made: times.length,
    p50Ms: quantile(ascending, 0.5),
    p99Ms: quantile(ascending, 0.99),
    maxMs: quantile(ascending, 1),
  };
}
