/**
 * The statements that clients send. `items` hold the money; a call's mark, an item of its own on each shard that it
 * writes, counts how often the call was carried out there, whichever attempt brought it.
 */
import { MEMORY_STATEMENTS } from "../../../participant/shard/memory-statements.ts";
import type { Operation } from "../../../shared/model/api.ts";

export const OPENING_VALUE = 100;
export const MARK_PREFIX = "mark of ";

export const markOf = (call: string): string => MARK_PREFIX + call;
export const isMark = (item: string): boolean => item.startsWith(MARK_PREFIX);

/** Takes from or gives to an item; a value below zero violates a constraint. */
export function move(shard: string, item: string, change: number): Operation {
  return add(shard, item, change);
}

export function mark(shard: string, call: string): Operation {
  return add(shard, markOf(call), 1);
}

function add(shard: string, item: string, change: number): Operation {
  const params = [change, item];
  return { shard, sql: MEMORY_STATEMENTS.add, params, expect: { rowCount: 1 } };
}

/** A row that can be inserted only once. */
export function note(shard: string, call: string): Operation {
  return { shard, sql: MEMORY_STATEMENTS.note, params: [call, "was here"] };
}

export function read(shard: string, item: string): Operation {
  return { shard, sql: MEMORY_STATEMENTS.read, params: [item], expect: { rowCount: 1 } };
}
