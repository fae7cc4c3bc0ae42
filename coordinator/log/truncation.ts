/** What snapshot records stand for: records written before them that no recovery needs any more. */
import { assert, unreachable } from "../../shared/model/assert.ts";
import type { DurableRecord, SnapshotRecord } from "../paxos/record.ts";

/** A hint above the snapshot goes too: hints may lag. */
export function standsFor(snapshot: SnapshotRecord, earlier: DurableRecord): boolean {
  switch (earlier.kind) {
    case "promised":
    case "chosenUpTo":
    case "snapshot":
      return true;
    case "accepted":
    case "learned":
      return earlier.slot <= snapshot.truncatedUpTo;
    default:
      return unreachable(earlier);
  }
}

/** What is left out stays left out: by a record that says less the log could not become whole again. */
export function assertGoesOn(before: SnapshotRecord | undefined, next: SnapshotRecord): void {
  assert(next.truncatedUpTo <= next.slot, "a snapshot holds what the log leaves out");
  if (before === undefined) return;
  assert(next.slot >= before.slot, "a snapshot never goes back");
  assert(next.truncatedUpTo >= before.truncatedUpTo, "a truncation never goes back");
}
