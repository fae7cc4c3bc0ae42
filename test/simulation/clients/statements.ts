/** The statements that clients send: `items` hold the money, `entries` tell which transactions were here. */
import type { Operation } from "../../../shared/model/api.ts";

export const OPENING_VALUE = 100;

/** Takes from or gives to an item; touches no row where that would leave less than nothing. */
export function move(shard: string, item: string, change: number): Operation {
  return {
    shard,
    sql: "update items set value = value + $1 where id = $2 and value + $1 >= 0",
    params: [change, item],
    expect: { rowCount: 1 },
  };
}

/** Leaves a mark by which the transaction is recognised, whichever attempt brought it. */
export function enter(shard: string, call: string): Operation {
  return { shard, sql: "insert into entries (id) values ($1)", params: [call] };
}

export function read(shard: string, item: string): Operation {
  return { shard, sql: "select value from items where id = $1", params: [item] };
}
