/** The order of a key's appends, as far as reads show it, and every anomaly that one key alone gives away. */
import type { Transaction } from "../history/transactions.ts";
import type { AnomalyLog } from "./anomaly-log.ts";
import type { Append, Key, Read } from "./keys.ts";

export interface Versions {
  readonly key: Key;
  readonly order: readonly Append[];
  /** Reads that show a beginning of the order; what the others show is told as an anomaly. */
  readonly reads: readonly Read[];
  /** Of committed transactions, shown by no read: they come behind the order. */
  readonly unseen: readonly Append[];
}

export function orderVersions(
  key: Key,
  transactions: readonly Transaction[],
  log: AnomalyLog,
): Versions {
  const longest = longestSoundList(key);
  const order = longest.list.map((value) => key.appends.get(value)!);
  const reads = key.reads.filter((read) => {
    const isBeginning = read.list.every((value, place) => value === longest.list[place]);
    if (!isBeginning) tellOddRead(key, read, longest, log);
    return isBeginning;
  });
  const seen = new Set(longest.list);
  const unseen = [...key.appends.values()].filter(
    ({ value, writer }) => !seen.has(value) && transactions[writer]?.outcome === "committed",
  );
  const versions = { key, order, reads, unseen };
  tellUncommitted(versions, transactions, log);
  tellStaleReads(versions, transactions, log);
  tellLostUpdates(versions, log);
  return versions;
}

function longestSoundList({ reads, appends }: Key): { list: readonly number[]; reader: number } {
  let longest: { list: readonly number[]; reader: number } = { list: [], reader: -1 };
  for (const { list, reader } of reads) {
    if (list.length <= longest.list.length) continue;
    const isSound = list.every((value) => appends.has(value)) && new Set(list).size === list.length;
    if (isSound) longest = { list, reader };
  }
  return longest;
}

function tellOddRead(
  { index: key, appends }: Key,
  { reader, list }: Read,
  longest: { list: readonly number[]; reader: number },
  log: AnomalyLog,
): void {
  const unknown = list.find((value) => !appends.has(value));
  const twice = list.find((value, place) => list.indexOf(value) !== place);
  if (unknown !== undefined) log.add({ kind: "unknown value", key, reader, value: unknown });
  if (twice !== undefined) log.add({ kind: "duplicate append", key, reader, value: twice });
  if (unknown === undefined && twice === undefined) {
    const readers = [longest.reader, reader] as const;
    log.add({ kind: "incompatible order", key, readers, lists: [longest.list, list] });
  }
}

function tellUncommitted(
  { key, order, reads }: Versions,
  transactions: readonly Transaction[],
  log: AnomalyLog,
): void {
  const aborted = order.flatMap(({ writer, value }, position) =>
    transactions[writer]?.outcome === "aborted" ? [{ writer, value, position }] : [],
  );
  for (const { reader, length } of reads) {
    for (const { position, ...what } of aborted) {
      if (position < length && what.writer !== reader) {
        log.add({ kind: "G1a", key: key.index, reader, ...what });
      }
    }
    const last = order[length - 1];
    if (last !== undefined && !last.isLast && last.writer !== reader) {
      const { writer, value } = last;
      log.add({ kind: "G1b", key: key.index, reader, writer, value });
    }
  }
}

function tellStaleReads(
  { key, order, reads, unseen }: Versions,
  transactions: readonly Transaction[],
  log: AnomalyLog,
): void {
  const appliedMs = ({ writer }: Append): number => {
    const transaction = transactions[writer];
    const isApplied =
      transaction?.outcome === "committed" && transaction.acknowledged === "applied";
    return isApplied ? transaction.endMs : Infinity;
  };
  const sooner = (one: Append | undefined, other: Append): Append =>
    one !== undefined && appliedMs(one) <= appliedMs(other) ? one : other;
  // At each place, what was acknowledged first of all that comes there or later.
  const firstFrom: (Append | undefined)[] = [];
  firstFrom[order.length] = unseen.reduce<Append | undefined>(sooner, undefined);
  for (let place = order.length - 1; place >= 0; place -= 1) {
    firstFrom[place] = sooner(firstFrom[place + 1], order[place]!);
  }
  for (const { reader, length } of reads) {
    const missed = firstFrom[length];
    if (missed === undefined || appliedMs(missed) >= transactions[reader]!.startMs) continue;
    const { writer, value } = missed;
    log.add({ kind: "stale read", key: key.index, reader, writer, value });
  }
}

function tellLostUpdates({ key, order, reads }: Versions, log: AnomalyLog): void {
  const updates = reads.filter(({ appendsLater, list, length }) => {
    return appendsLater && list.length === length;
  });
  const updaters = new Map(updates.map((read) => [`${read.reader} ${read.length}`, read]));
  for (const { reader, length, view } of updaters.values()) {
    const first = order[length]?.writer;
    if (first === undefined || first === reader) continue;
    if (!updaters.has(`${first} ${length}`)) continue;
    log.add({ kind: "lost update", key: key.index, first, second: reader, read: length, view });
  }
}
