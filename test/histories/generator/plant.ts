/** One anomaly of each kind, made of a few transactions on keys of their own and put into a history at a given place. */
import type { HistoryEvent, Operation, View } from "../history/event.ts";
import type { AnomalyName } from "../list-append/anomaly.ts";

interface Planted {
  readonly operations: readonly Operation[];
  readonly isAborted?: boolean;
}

const append = (shard: string, key: string, value: number): Operation => ({
  ...{ kind: "append", shard, key: `planted-${key}`, value },
});
const read = (shard: string, key: string, list: number[], view: View = "locking"): Operation => ({
  ...{ kind: "readList", shard, key: `planted-${key}`, view, list },
});
const x = (value: number): Operation => append("s1", "x", value);
const y = (value: number): Operation => append("s2", "y", value);
const did = (...operations: Operation[]): Planted => ({ operations });

/** All overlap, unless `inTurn`: then each is acknowledged before the next begins. */
interface Plan {
  readonly transactions: readonly Planted[];
  readonly inTurn?: boolean;
}

export const PLANS: Readonly<Record<AnomalyName, Plan>> = {
  "incompatible order": {
    transactions: [did(x(1)), did(x(2)), did(read("s1", "x", [1, 2])), did(read("s1", "x", [2]))],
  },
  "duplicate append": { transactions: [did(x(1)), did(read("s1", "x", [1, 1]))] },
  "unknown value": { transactions: [did(x(1)), did(read("s1", "x", [1, 7]))] },
  internal: { transactions: [did(x(1), read("s1", "x", []))] },
  G1a: {
    transactions: [{ operations: [x(1)], isAborted: true }, did(read("s1", "x", [1]))],
  },
  G1b: {
    transactions: [did(x(1), x(2)), did(read("s1", "x", [1])), did(read("s1", "x", [1, 2]))],
  },
  "stale read": { transactions: [did(x(1)), did(read("s1", "x", [], "statement"))], inTurn: true },
  "fractured read": {
    transactions: [
      did(x(1), y(1)),
      did(read("s1", "x", [1], "atomic"), read("s2", "y", [], "atomic")),
    ],
  },
  "lost update": {
    transactions: [
      did(read("s1", "x", [], "shardSnapshot"), x(1)),
      did(read("s1", "x", [], "shardSnapshot"), x(2)),
      did(read("s1", "x", [1, 2])),
    ],
  },
  G0: {
    transactions: [
      did(x(1), y(1)),
      did(x(2), y(2)),
      did(read("s1", "x", [1, 2])),
      did(read("s2", "y", [2, 1])),
    ],
  },
  G1c: { transactions: [did(x(1), read("s2", "y", [1])), did(y(1), read("s1", "x", [1]))] },
  "G-single": {
    transactions: [
      did(append("s1", "x", 1), append("s1", "z", 1)),
      did(append("s1", "z", 2), append("s1", "w", 1)),
      did(read("s1", "x", [], "shardSnapshot"), read("s1", "w", [1], "shardSnapshot")),
      did(read("s1", "z", [1, 2])),
    ],
  },
  G2: { transactions: [did(read("s1", "x", []), y(1)), did(read("s2", "y", []), x(1))] },
};

/** A circle over three transactions with one readWrite each: plain reads on two shards may do that. */
export const WRITE_SKEW: Plan = {
  transactions: [
    did(read("s1", "x", [], "statement"), y(1)),
    did(read("s2", "y", [], "statement"), x(1)),
  ],
};

/** Processes from 900,000 on, so that they meet none of the history's. */
const FIRST_PROCESS = 900_000;

export function plant(events: readonly HistoryEvent[], plan: Plan, at: number): HistoryEvent[] {
  const atMs = events[at]?.atMs ?? events.at(-1)?.atMs ?? 0;
  const pairs = plan.transactions.map((it, index) => pairOf(it, index, atMs));
  const step = 1e-9;
  const planted = plan.inTurn
    ? pairs.flatMap(([begin, end], turn) => [
        { ...begin, atMs: atMs + 2 * turn * step },
        { ...end, atMs: atMs + (2 * turn + 1) * step },
      ])
    : [...pairs.map(([begin]) => begin), ...pairs.map(([, end]) => end)];
  return [...events.slice(0, at + 1), ...planted, ...events.slice(at + 1)];
}

function pairOf(it: Planted, index: number, atMs: number): readonly [HistoryEvent, HistoryEvent] {
  const common = { atMs, process: FIRST_PROCESS + index, transaction: `planted-${index + 1}` };
  const operations = it.operations.map((operation) => ({ ...operation }));
  const asked = operations.map((operation) =>
    operation.kind === "readList" ? { ...operation, list: null } : operation,
  );
  const end: HistoryEvent = it.isAborted
    ? { event: "fail", ...common, reason: "planted" }
    : { event: "ok", ...common, acknowledged: "applied", operations };
  return [{ event: "invoke", ...common, operations: asked }, end];
}
