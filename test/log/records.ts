/** Records for log tests, and what to say of them in a failure. */
import type { DurableRecord, SnapshotRecord } from "../../coordinator/paxos/record.ts";
import { ballot, nodeId, slot, type ClusterId, type Slot } from "../../shared/model/ids.ts";
import { crc32 } from "../../coordinator/log/wal/crc32.ts";
import type { LogIdentity } from "../../coordinator/log/log-store.ts";

export const BALLOT = ballot(1, nodeId(1));
export const IDENTITY: LogIdentity = { clusterId: "test" as ClusterId, nodeId: nodeId(1) };

/** `bytes` of value, all alike and different from its neighbours'. */
export function accepted(at: number, bytes = 100): DurableRecord {
  return {
    kind: "accepted",
    ballot: BALLOT,
    slot: slot(at),
    value: new Uint8Array(bytes).fill(at),
  };
}

export const promised = (round: number): DurableRecord => ({
  kind: "promised",
  ballot: ballot(round, nodeId(2)),
});

export const snapshotRecord = (at: number, truncatedUpTo = at, round = 1): SnapshotRecord => ({
  kind: "snapshot",
  ...{ slot: slot(at), truncatedUpTo: truncatedUpTo as Slot, promised: ballot(round, nodeId(1)) },
});

/** Chunks of these lengths, each alike and different from the others and from those of other slots. */
export const chunksOf = (at: number, lengths: readonly number[]): readonly Uint8Array[] =>
  lengths.map((length, index) => new Uint8Array(length).fill(at * 16 + index + 1));

/** Slots `from` to `upTo`. */
export function acceptedRange(from: number, upTo: number, bytes = 100): readonly DurableRecord[] {
  return Array.from({ length: upTo - from + 1 }, (_, index) => accepted(from + index, bytes));
}

/** As one string, which compares and reads faster than thousands of bytes. */
export function described(records: readonly DurableRecord[]): string {
  return records.map(asText).join(" ");
}

function asText(record: DurableRecord): string {
  switch (record.kind) {
    case "promised":
      return `promised:${record.ballot}`;
    case "accepted":
      return `accepted:${record.slot}@${record.ballot}=${content(record.value)}`;
    case "learned":
      return `learned:${record.slot}=${content(record.value)}`;
    case "chosenUpTo":
      return `chosenUpTo:${record.slot}`;
    case "snapshot":
      return `snapshot:${record.slot}/${record.truncatedUpTo}@${record.promised}`;
  }
}

/** The same of chunks. */
export const contentsOf = (chunks: Iterable<Uint8Array>): string =>
  [...chunks].map(content).join(" ");

const content = (value: Uint8Array): string => `${value.length}#${crc32(value).toString(16)}`;
