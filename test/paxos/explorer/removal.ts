/**
 * What the store may drop when a snapshot counts: from the front, up to the record that names it, as long as nothing is held
 * above the truncation (coordinator/log/log-store.ts). At the finest it could ever be done: record by record.
 */
import type { DurableRecord } from "../../../coordinator/paxos/record.ts";

export function withoutWhatMayGo(records: readonly DurableRecord[]): readonly DurableRecord[] {
  const at = records.findLastIndex(({ kind }) => kind === "snapshot");
  const snapshot = records[at];
  if (snapshot?.kind !== "snapshot") return records;
  const isHeldAbove = (record: DurableRecord): boolean =>
    (record.kind === "accepted" || record.kind === "learned") &&
    record.slot > snapshot.truncatedUpTo;
  const first = records.slice(0, at).findIndex(isHeldAbove);
  return records.slice(first < 0 ? at : first);
}
