/**
 * Who must come after whom, and why. Nodes below `transactions` are transactions. Those above are places that many edges share, so
 * that their number stays linear: "everything acknowledged by now", and "behind all that was seen of a key". An edge into such a place
 * carries the reason; the edge out of it (`why` undefined) only leads on.
 */
import type { Transaction } from "../history/transactions.ts";
import type { Dependency } from "./anomaly.ts";
import type { Versions } from "./versions.ts";

export interface Edge {
  readonly from: number;
  readonly to: number;
  readonly why: Dependency | undefined;
}

export interface Graph {
  readonly transactions: number;
  readonly nodes: number;
  readonly edges: readonly Edge[];
}

export function buildGraph(
  transactions: readonly Transaction[],
  all: readonly Versions[],
  withRealTime: boolean,
): Graph {
  const edges: Edge[] = [];
  let nodes = transactions.length;
  const add = (from: number | undefined, to: number | undefined, why: Edge["why"]): void => {
    if (from !== undefined && to !== undefined && from !== to) edges.push({ from, to, why });
  };
  for (const versions of all) {
    const behind = versions.unseen.length > 0 ? nodes++ : undefined;
    addKey(versions, behind, add);
  }
  if (withRealTime) nodes = addRealTime(transactions, nodes, add);
  return { transactions: transactions.length, nodes, edges };
}

type Add = (from: number | undefined, to: number | undefined, why: Edge["why"]) => void;

function addKey(
  { key: { index: key }, order, reads, unseen }: Versions,
  behind: number | undefined,
  add: Add,
): void {
  const unseenWriters = new Set(unseen.map(({ writer }) => writer));
  const addBehind = (from: number | undefined, why: Dependency): void => {
    // Through the shared place its own append would come behind itself.
    if (from === undefined || !unseenWriters.has(from)) add(from, behind, why);
    else for (const writer of unseenWriters) add(from, writer, why);
  };
  for (let position = 1; position < order.length; position += 1) {
    const why = { kind: "writeWrite", key, position } as const;
    add(order[position - 1]?.writer, order[position]?.writer, why);
  }
  addBehind(order.at(-1)?.writer, { kind: "writeWrite", key, position: order.length });
  for (const writer of unseenWriters) add(behind, writer, undefined);
  for (const { reader, length, view } of reads) {
    add(order[length - 1]?.writer, reader, { kind: "writeRead", key, position: length - 1 });
    const why = { kind: "readWrite", key, position: length, view } as const;
    if (length < order.length) add(reader, order[length]?.writer, why);
    else addBehind(reader, why);
  }
}

/** A chain of moments: whoever was acknowledged leads into its moment, and the last moment before an invocation leads to that. */
function addRealTime(transactions: readonly Transaction[], firstNode: number, add: Add): number {
  const ends = transactions
    .flatMap((it, index) => (it.outcome === "committed" ? [{ index, endMs: it.endMs }] : []))
    .sort((one, other) => one.endMs - other.endMs);
  ends.forEach(({ index }, place) => {
    add(index, firstNode + place, { kind: "realTime" });
    if (place > 0) add(firstNode + place - 1, firstNode + place, undefined);
  });
  let passed = 0;
  transactions.forEach(({ startMs, outcome }, index) => {
    while (passed < ends.length && ends[passed]!.endMs < startMs) passed += 1;
    if (passed > 0 && outcome !== "aborted") add(firstNode + passed - 1, index, undefined);
  });
  return firstNode + ends.length;
}
