/** What waits to be written: bounded, and taken out in groups that share a sync. */
import type { DurableRecord } from "../../paxos/record.ts";
import { recordBytes } from "./codec.ts";

export interface Append {
  readonly records: readonly DurableRecord[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Far above what a round of consensus keeps under way; a node that fetches what it missed may come near it on a slow disk.
 */
const MAX_WAITING_BYTES = 256 * 1024 * 1024;
/** Of one group. A single larger append makes a group of its own. */
const MAX_GROUP_BYTES = 1024 * 1024;
/** What an append costs beside its records. */
const APPEND_BYTES = 100;

export class AppendQueue {
  #waiting: { readonly append: Append; readonly bytes: number }[] = [];
  #bytes = 0;

  /** False when there is no room for it. */
  push(append: Append): boolean {
    const bytes = append.records.reduce((sum, record) => sum + recordBytes(record), APPEND_BYTES);
    if (this.#bytes + bytes > MAX_WAITING_BYTES) return false;
    this.#waiting.push({ append, bytes });
    this.#bytes += bytes;
    return true;
  }

  /** The oldest of what waits, in order; empty when nothing does. */
  take(): readonly Append[] {
    let count = 0;
    let bytes = 0;
    for (const waiting of this.#waiting) {
      if (count > 0 && bytes + waiting.bytes > MAX_GROUP_BYTES) break;
      bytes += waiting.bytes;
      count += 1;
    }
    this.#bytes -= bytes;
    return this.#waiting.splice(0, count).map(({ append }) => append);
  }
}
