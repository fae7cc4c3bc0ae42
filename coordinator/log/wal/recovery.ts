/**
 * What a log's segments say after a crash, as a pure function over their bytes.
 *
 * One write is under way at a time, and the next begins only when it is durable. A segment file gets its name when its header and
 * its first batch are durable (segment.ts). So at most the last batch of the last segment may be unfinished, unless it is
 * that segment's first, and what is damaged although something later exists was acknowledged:
 *
 *   last segment      header or first batch damaged                          corruption: the node must not vote
 *                     intact … intact · damaged · … a batch header …         corruption
 *                     intact … intact · damaged · no trace of a batch        torn tail: never acknowledged
 *   earlier segment   anything but intact up to where its successor starts   corruption
 *   a segment missing, or not following on                                   corruption
 *   segments missing below what a batch calls the first that is needed       a truncation, done or half done
 *
 * For the trace a header is enough: it was written after the damaged batch had been acknowledged, whatever became of its body.
 * A segment that was begun by opening the log starts with the last batch once more: of two with one number the later counts.
 * A truncation may remove segments in any order: what stands before a gap is not looked at, and the gap is judged when all
 * behind it has been read, for there the truncation is written. What a snapshot record stands for is let go when it is met, so
 * that no more than the log since the snapshot before it is held.
 *
 * Two cases cannot be told apart from inside: a last batch that was acknowledged and rotted before another was written looks
 * like a torn one, and lost segments at the end look like segments that never were.
 */
import { assert } from "../../../shared/model/assert.ts";
import { ZERO_SLOT } from "../../../shared/model/ids.ts";
import type { DurableRecord, SnapshotRecord } from "../../paxos/record.ts";
import { standsFor } from "../truncation.ts";
import {
  BATCH_HEADER_BYTES,
  BLOCK_BYTES,
  decodeBatchBody,
  decodeBatchHeader,
  ownerSeal,
  paddedBytes,
} from "./codec.ts";
import { decodeSegmentHeader, type SegmentHeader } from "./segment-header.ts";
import { highestSlotOf, type IndexedSegment } from "./segment-index.ts";

/** Segments are large: each is read when its turn comes. */
export interface SegmentSource {
  readonly file: string;
  /** As the file's name says. */
  readonly segment: number;
  /** The file of the segment before it, which may be there or not. */
  readonly predecessor: string;
  /** The first block. */
  readonly readHeader: () => Uint8Array;
  readonly read: () => Uint8Array;
}

/** The last segment: its last batch is not proved durable by a later one, and is to be written again. */
export interface Tail {
  readonly file: string;
  readonly segment: number;
  /** As its header says. */
  readonly first: Place;
  readonly last: Place;
  /** Number and chain of the batch that comes next. */
  readonly next: Place;
  /** Whole blocks, from the first batch on. */
  readonly batches: Uint8Array;
  /** Where in `batches` the last one begins. */
  readonly lastFrom: number;
  readonly lastRecords: readonly DurableRecord[];
  /** Where the batches end in the file; what follows was never acknowledged. */
  readonly end: number;
}

/** Of a batch in the chain. */
export interface Place {
  readonly batch: number;
  readonly chain: number;
}

export interface IntactScan extends Content {
  readonly kind: "intact";
  readonly tail: Tail;
}

export type Scan =
  | IntactScan
  | {
      readonly kind: "corrupt";
      readonly file: string;
      readonly offset: number;
      readonly what: string;
    }
  | { readonly kind: "foreign"; readonly file: string; readonly owner: string };

interface Content {
  /** Without those that the last snapshot record stands for. */
  readonly records: readonly DurableRecord[];
  readonly snapshot: SnapshotRecord | undefined;
  readonly segments: readonly IndexedSegment[];
  /** Those below it are not needed, if they are there at all. */
  readonly firstNeeded: number;
}

type Trouble = Exclude<Scan, { kind: "intact" }>;
type Headers = readonly SegmentHeader[];

const corrupt = (file: string, offset: number, what: string): Trouble => ({
  kind: "corrupt",
  ...{ file, offset, what },
});

/** What the batches up to here hold. */
class Reading {
  #records: DurableRecord[] = [];
  #snapshot: SnapshotRecord | undefined;
  #firstNeeded = 1;
  readonly #segments: IndexedSegment[] = [];
  #highestSlot = ZERO_SLOT;

  take(records: readonly DurableRecord[], firstSegment: number): void {
    this.#firstNeeded = Math.max(this.#firstNeeded, firstSegment);
    this.#highestSlot = highestSlotOf(records, this.#highestSlot);
    for (const record of records) {
      if (record.kind === "snapshot") {
        this.#snapshot = record;
        this.#records = this.#records.filter((earlier) => !standsFor(record, earlier));
      }
      this.#records.push(record);
    }
  }

  endSegment(segment: number): void {
    this.#segments.push({ segment, highestSlot: this.#highestSlot });
    this.#highestSlot = ZERO_SLOT;
  }

  get content(): Content {
    const [records, snapshot] = [this.#records, this.#snapshot];
    return { records, snapshot, segments: this.#segments, firstNeeded: this.#firstNeeded };
  }
}

interface Walk {
  readonly next: Place;
  readonly end: number;
  readonly last:
    | { readonly from: number; readonly place: Place; readonly records: readonly DurableRecord[] }
    | undefined;
}

/** `segments`, one at least, in order of their numbers; `owner` the identity that every header must name. */
export function scan(segments: readonly SegmentSource[], owner: string): Scan {
  const run = withoutGaps(segments);
  const headers = readHeaders(run, owner);
  if ("kind" in headers) return headers;
  const seal = ownerSeal(owner);
  const reading = new Reading();
  let expected = startOf(headers);
  let tail: Tail | undefined;
  for (const [index, { file, segment, read }] of run.entries()) {
    const header = headers[index];
    assert(header !== undefined, "there is a header for every segment");
    if (header.firstBatch !== expected.batch || header.chain !== expected.chain) {
      return corrupt(file, 0, "A segment that does not follow the one before it");
    }
    const bytes = read();
    const following = headers[index + 1];
    const walk = walkBatches(bytes, header, following?.firstBatch ?? Infinity, seal, reading);
    if (
      following === undefined ? hasTrace(bytes, walk, seal) : walk.next.batch < following.firstBatch
    ) {
      return corrupt(file, walk.end, "A damaged batch");
    }
    reading.endSegment(segment);
    expected = walk.next;
    if (following === undefined) tail = tailOf(file, header, walk, bytes);
  }
  if (tail === undefined) {
    return corrupt(run.at(-1)?.file ?? "", BLOCK_BYTES, "A damaged first batch");
  }
  return missing(run[0], reading.content) ?? { kind: "intact", ...reading.content, tail };
}

/** The last segments, as far back as no number is missing. */
function withoutGaps(segments: readonly SegmentSource[]): readonly SegmentSource[] {
  const last = segments.length - 1;
  const lastSegment = segments[last]?.segment ?? 0;
  const start = segments.findIndex(({ segment }, index) => lastSegment - segment === last - index);
  return segments.slice(start);
}

/** The first segment of a log that was truncated is believed; the first of all has a known place. */
function startOf([first]: Headers): Place {
  if (first === undefined || first.segment === 1) return { batch: 1, chain: 0 };
  return { batch: first.firstBatch, chain: first.chain };
}

/** Segments before the first may be missing only if a batch says that they are not needed. */
function missing(first: SegmentSource | undefined, { firstNeeded }: Content): Trouble | undefined {
  if (first === undefined || first.segment <= firstNeeded) return undefined;
  return corrupt(first.predecessor, 0, "A missing segment");
}

function readHeaders(segments: readonly SegmentSource[], owner: string): Headers | Trouble {
  const headers: SegmentHeader[] = [];
  for (const { file, segment, readHeader } of segments) {
    const header = decodeSegmentHeader(readHeader());
    if (header.kind === "damaged") return corrupt(file, 0, "A damaged segment header");
    if (header.kind === "otherVersion") {
      const { version } = header;
      return corrupt(file, 0, `A segment of format version ${version}, unknown to this program,`);
    }
    if (header.owner !== owner) return { kind: "foreign", file, owner: header.owner };
    if (header.segment !== segment) {
      return corrupt(file, 0, `Segment ${header.segment} in the place of segment ${segment}`);
    }
    headers.push(header);
  }
  return headers;
}

function tailOf(
  file: string,
  { segment, firstBatch: batch, chain }: SegmentHeader,
  { last, next, end }: Walk,
  bytes: Uint8Array,
): Tail | undefined {
  if (last === undefined) return undefined;
  // The file may end within the padding of its last block.
  const batches = new Uint8Array(end - BLOCK_BYTES);
  batches.set(bytes.subarray(BLOCK_BYTES, end));
  return {
    ...{ file, segment, first: { batch, chain }, last: last.place, next },
    ...{ batches, lastFrom: last.from - BLOCK_BYTES, lastRecords: last.records, end },
  };
}

/** Takes batches that follow on, up to the one that the next segment begins with. */
function walkBatches(
  bytes: Uint8Array,
  header: SegmentHeader,
  until: number,
  seal: number,
  reading: Reading,
): Walk {
  let next: Place = { batch: header.firstBatch, chain: header.chain };
  let end = BLOCK_BYTES;
  let last: Walk["last"];
  while (next.batch < until) {
    const batch = decodeBatchHeader(bytes, end, seal);
    if (batch?.number !== next.batch || batch.chain !== next.chain) break;
    const body = decodeBatchBody(bytes, end, batch, seal);
    if (body === undefined) break;
    reading.take(body, batch.firstSegment);
    last = { from: end, place: next, records: body };
    next = { batch: batch.number + 1, chain: batch.crc };
    end += paddedBytes(BATCH_HEADER_BYTES + batch.bodyBytes);
  }
  return { next, end, last };
}

/** Whether behind the intact batches stands one that was begun after a batch which is not there. */
function hasTrace(bytes: Uint8Array, { end, next }: Walk, seal: number): boolean {
  for (let offset = end; offset < bytes.length; offset += BLOCK_BYTES) {
    const header = decodeBatchHeader(bytes, offset, seal);
    if (header === undefined) continue;
    const isTorn = offset === end && header.number === next.batch && header.chain === next.chain;
    if (!isTorn) return true;
  }
  return false;
}
