/** Makes a history and evidence of what the demo's transfers record, so that its workload can be judged and shown like any other. */
import type { ShardBooks } from "../../../demo/transfers/books.ts";
import type { SentTransfer } from "../../../demo/transfers/tally.ts";
import type { ShardEvidence } from "../audit/evidence.ts";
import type { HistoryEvent, Operation } from "../history/event.ts";
import { unreachable } from "../../../shared/model/assert.ts";

export interface RecordedTransfer extends SentTransfer {
  readonly client: number;
  /** Both since the run began. */
  readonly sentAtMs: number;
  readonly endedAtMs: number;
}

/** Of each client, in the order in which it sent them. Both sides of a transfer append its number to their account's entries. */
export function historyOfTransfers(recorded: readonly RecordedTransfer[]): HistoryEvent[] {
  const events = recorded.flatMap((it, index) => eventsOf(it, index + 1));
  return events.sort((one, other) => one.atMs - other.atMs);
}

function eventsOf(
  { client, transfer, outcome, sentAtMs, endedAtMs }: RecordedTransfer,
  value: number,
): readonly HistoryEvent[] {
  const operations = [transfer.from, transfer.to].map(({ shard, accountId }): Operation => {
    return { kind: "append", shard, key: accountId, value };
  });
  const common = { process: client, transaction: transfer.id };
  const end = { ...common, atMs: endedAtMs };
  const invoke: HistoryEvent = { event: "invoke", ...common, atMs: sentAtMs, operations };
  switch (outcome.kind) {
    case "committed":
      return [invoke, { event: "ok", ...end, acknowledged: "decided", operations }];
    case "aborted":
      return [invoke, { event: "fail", ...end, reason: outcome.code }];
    case "unresolved":
      return [invoke, { event: "info", ...end, reason: outcome.reason.slice(0, 200) || "none" }];
    default:
      return unreachable(outcome);
  }
}

/** Entries hold no xid, and of prepared branches only the gids were read. */
export function evidenceOfBooks({ shard, entries, prepared }: ShardBooks): ShardEvidence {
  return {
    shard,
    rows: entries.map(({ transferId }) => ({ transaction: transferId, xid: null })),
    prepared: prepared.map((gid) => ({ gid, xid: null })),
    endings: [],
  };
}
