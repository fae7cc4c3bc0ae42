/** What a snapshot record stands for: records written before it that no recovery needs any more. */
import { unreachable } from "../../shared/model/assert.ts";
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
