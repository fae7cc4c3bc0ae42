/**
 * Which segments a log still needs. Those below `firstNeeded` may be missing: every batch repeats that number (codec.ts), so
 * the batch that holds a snapshot record says, by becoming durable, which segments may be removed from then on.
 */
import { assert } from "../../../shared/model/assert.ts";
import { ZERO_SLOT, type Slot } from "../../../shared/model/ids.ts";
import type { DurableRecord } from "../../paxos/record.ts";

export interface IndexedSegment {
  readonly segment: number;
  /** Of its accepted and learned slots. */
  readonly highestSlot: Slot;
}

export function highestSlotOf(records: readonly DurableRecord[], above = ZERO_SLOT): Slot {
  let highest = above;
  for (const record of records) {
    const isEntry = record.kind === "accepted" || record.kind === "learned";
    if (isEntry && record.slot > highest) highest = record.slot;
  }
  return highest;
}

export class SegmentIndex {
  /** Ascending, without gaps; the last one takes batches. */
  #segments: IndexedSegment[];
  #firstNeeded: number;

  constructor(segments: readonly IndexedSegment[] = [], firstNeeded = 1) {
    this.#segments = [...segments];
    this.#firstNeeded = firstNeeded;
  }

  get firstNeeded(): number {
    return this.#firstNeeded;
  }

  /** A new segment, or the last one written anew. */
  begin(segment: number): void {
    if (this.#segments.at(-1)?.segment === segment) return;
    this.#segments.push({ segment, highestSlot: ZERO_SLOT });
  }

  /** They are in the last segment. */
  note(records: readonly DurableRecord[]): void {
    const last = this.#segments.pop();
    assert(last !== undefined, "records are in a segment");
    this.#segments.push({ ...last, highestSlot: highestSlotOf(records, last.highestSlot) });
  }

  /** Slots up to here are in a snapshot that is named in the last segment or a later one. */
  truncate(upTo: Slot): void {
    const needed = this.#segments.findIndex(({ highestSlot }) => highestSlot > upTo);
    const removed = needed === -1 ? this.#segments.length - 1 : needed;
    this.#segments.splice(0, Math.min(removed, this.#segments.length - 1));
    const [first] = this.#segments;
    assert(first !== undefined, "the last segment is always needed");
    this.#firstNeeded = Math.max(this.#firstNeeded, first.segment);
  }
}
