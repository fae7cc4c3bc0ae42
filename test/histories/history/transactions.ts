/** Joins invocations with their ends, and refuses what no process can have done. */
import { unreachable } from "../../../shared/model/assert.ts";
import type { HistoryEvent, Operation } from "./event.ts";
import { HistoryFault } from "./history-fault.ts";

interface Invoked {
  readonly name: string;
  readonly process: number;
  readonly startMs: number;
  /** With what reads found, if committed; as invoked otherwise. */
  readonly operations: readonly Operation[];
}

export type Transaction = Invoked &
  (
    | {
        readonly outcome: "committed";
        readonly endMs: number;
        readonly acknowledged: "applied" | "decided";
      }
    | { readonly outcome: "aborted"; readonly endMs: number; readonly reason: string }
    /** May have taken effect at any time from its start on, or never. */
    | { readonly outcome: "unclear"; readonly reason: string }
  );

type Invocation = HistoryEvent & { readonly event: "invoke" };
type End = Exclude<HistoryEvent, Invocation>;

/** In the order of invocation. */
export function transactionsOf(events: Iterable<HistoryEvent>): readonly Transaction[] {
  const byName = new Map<string, Transaction>();
  const running = new Map<number, Invocation>();
  let nowMs = 0;
  for (const event of events) {
    if (event.atMs < nowMs) throw fault(event, `is of ${event.atMs} ms, after one of ${nowMs} ms`);
    nowMs = event.atMs;
    const begun = running.get(event.process);
    if (event.event === "invoke") {
      if (begun !== undefined) throw fault(event, `process still runs ${begun.transaction}`);
      if (byName.has(event.transaction)) throw fault(event, "was invoked before");
      running.set(event.process, event);
      byName.set(event.transaction, { ...invoked(event), outcome: "unclear", reason: "no end" });
    } else {
      if (begun?.transaction !== event.transaction) throw fault(event, "ends without running");
      running.delete(event.process);
      byName.set(event.transaction, ended(begun, event));
    }
  }
  return [...byName.values()];
}

function ended(begun: Invocation, end: End): Transaction {
  switch (end.event) {
    case "ok":
      return { ...invoked(begun), ...committed(begun, end) };
    case "fail":
      return { ...invoked(begun), outcome: "aborted", endMs: end.atMs, reason: end.reason };
    case "info":
      return { ...invoked(begun), outcome: "unclear", reason: end.reason };
    default:
      return unreachable(end);
  }
}

function committed(begun: Invocation, end: End & { readonly event: "ok" }) {
  const isAsInvoked =
    begun.operations.length === end.operations.length &&
    begun.operations.every((operation, index) => isSame(operation, end.operations[index]));
  if (!isAsInvoked) throw fault(end, "did other operations than it was invoked with");
  const { operations, acknowledged, atMs: endMs } = end;
  return { outcome: "committed" as const, endMs, acknowledged, operations };
}

/** The same request, whatever it found. */
function isSame(one: Operation, other: Operation | undefined): boolean {
  if (one.kind !== other?.kind || one.shard !== other.shard || one.key !== other.key) return false;
  switch (one.kind) {
    case "append":
    case "writeRegister":
      return one.value === (other as typeof one).value;
    case "readList":
    case "readRegister":
      return one.view === (other as typeof one).view;
    default:
      return unreachable(one);
  }
}

function invoked({ transaction, process, atMs, operations }: Invocation): Invoked {
  return { name: transaction, process, startMs: atMs, operations };
}

function fault({ event, transaction, process }: HistoryEvent, what: string): HistoryFault {
  return new HistoryFault(`${event} of ${transaction} by process ${process}: ${what}`);
}
