/** What a client asks for: to count its key, once, on one shard or on two. */
import { newIdempotencyKey, type Operation } from "../../client/sdk.ts";
import type { TransferOutcome } from "../../demo/transfers/transfer.ts";

export interface Call {
  readonly key: string;
  readonly shards: readonly string[];
  outcome: TransferOutcome | undefined;
}

/** Rows that calls fight for, so that some wait and some are aborted. */
export const HOT_ROWS = 48;
const HOT_CHANCE = 0.3;
/** Short, so that a lock that a killed leader leaves behind makes others give up. */
export const TIMEOUT_MS = 400;

const COUNT = `insert into counters (key, value) values ($1, 1)
  on conflict (key) do update set value = counters.value + 1`;
const HEAT = "update hot set value = value + 1 where id = $1";

const below = (bound: number): number => Math.floor(Math.random() * bound);

export function nextCall(shards: readonly string[]): Call {
  const first = below(shards.length);
  const second = (first + 1 + below(shards.length - 1)) % shards.length;
  const places = Math.random() < 0.5 ? [first] : [first, second];
  return {
    key: newIdempotencyKey(),
    shards: places.map((place) => shards[place] ?? ""),
    outcome: undefined,
  };
}

export function operationsOf({ key, shards }: Call): readonly Operation[] {
  return shards.flatMap((shard) => {
    const count = { shard, sql: COUNT, params: [key] };
    const isHot = Number.parseInt(key.slice(-4), 16) / 0x10000 < HOT_CHANCE;
    const id = Number.parseInt(key.slice(-8, -4), 16) % HOT_ROWS;
    return isHot ? [count, { shard, sql: HEAT, params: [id] }] : [count];
  });
}
