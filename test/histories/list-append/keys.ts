/** The history key by key: who appended what, and what each read showed of it from outside of its own transaction. */
import type { Operation, View } from "../history/event.ts";
import { HistoryFault } from "../history/history-fault.ts";
import type { Transaction } from "../history/transactions.ts";
import type { AnomalyLog } from "./anomaly-log.ts";

export interface Append {
  readonly writer: number;
  readonly value: number;
  /** Whether its transaction appended nothing more to this key. */
  isLast: boolean;
}

/** A read without what its own transaction had appended by then, which is at the end of the list. */
export interface Read {
  readonly reader: number;
  readonly view: View;
  readonly list: readonly number[];
  /** How much of the list others have written: what this read is judged by. */
  readonly length: number;
  /** The values that its transaction appends to the key later on. */
  readonly appendsLater: boolean;
}

export interface Key {
  readonly index: number;
  readonly shard: string;
  readonly name: string;
  readonly appends: Map<number, Append>;
  readonly reads: Read[];
}

/** Tells `internal` as it goes: that is a matter of one transaction alone. */
export function collectKeys(transactions: readonly Transaction[], log: AnomalyLog): readonly Key[] {
  const keys = new Map<string, Key>();
  const keyOf = ({ shard, key: name }: Operation): Key => {
    const both = `${shard}\n${name}`;
    let key = keys.get(both);
    if (key === undefined) {
      key = { index: keys.size, shard, name, appends: new Map(), reads: [] };
      keys.set(both, key);
    }
    return key;
  };
  transactions.forEach((transaction, index) => {
    collectTransaction(transaction, index, keyOf, log);
  });
  return [...keys.values()];
}

function collectTransaction(
  { name, outcome, operations }: Transaction,
  index: number,
  keyOf: (operation: Operation) => Key,
  log: AnomalyLog,
): void {
  const own = new Map<Key, number[]>();
  operations.forEach((operation, place) => {
    if (operation.kind === "append") {
      const key = keyOf(operation);
      const { value } = operation;
      const before = own.get(key) ?? [];
      const previous = key.appends.get(before.at(-1) ?? NaN);
      if (previous !== undefined) previous.isLast = false;
      if (key.appends.has(value)) {
        throw new HistoryFault(`${name} appends ${value} to ${key.name}, as another does`);
      }
      key.appends.set(value, { writer: index, value, isLast: true });
      own.set(key, [...before, value]);
    } else if (operation.kind === "readList" && outcome === "committed") {
      const { list, view } = operation;
      if (list === null) return;
      const key = keyOf(operation);
      const mine = own.get(key) ?? [];
      const length = list.length - mine.length;
      if (!endsWith(list, mine)) {
        log.add({ kind: "internal", key: key.index, reader: index, own: mine, list });
        return;
      }
      const appendsLater = operations.some(
        (other, at) => at > place && other.kind === "append" && isSamePlace(other, operation),
      );
      key.reads.push({ reader: index, view, list, length, appendsLater });
    }
  });
}

function isSamePlace(one: Operation, other: Operation): boolean {
  return one.shard === other.shard && one.key === other.key;
}

function endsWith(list: readonly number[], end: readonly number[]): boolean {
  const start = list.length - end.length;
  return start >= 0 && end.every((value, index) => list[start + index] === value);
}
