/**
 * What a log's segments say after a crash, as a pure function over their bytes.
 *
 * One write is under way at a time, and the next begins only when it is durable. So after a crash at most the last batch
 * may be unfinished, and whatever was not intact but has an intact batch behind it was acknowledged and is now damaged:
 *
 *   intact … intact · damaged · zeros            torn tail: the damaged batch was never acknowledged
 *   intact … intact · damaged · … intact …       corruption: the node must not vote
 *   a segment missing, or not following on       corruption
 *
 * One case cannot be told apart from inside: a last batch that was acknowledged and rotted later looks like a torn one.
 */
import type { DurableRecord } from "../../paxos/record.ts";
import {
  BLOCK_BYTES,
  decodeBatchAt,
  decodeSegmentHeader,
  type DecodedBatch,
  type SegmentHeader,
} from "./codec.ts";

/** Segments are large: each is read when its turn comes, and only its first block before that. */
export interface SegmentSource {
  readonly file: string;
  readonly firstBlock: Uint8Array;
  readonly read: () => Uint8Array;
}

export type Scan =
  | {
      readonly kind: "intact";
      readonly records: readonly DurableRecord[];
      /** Undefined for a log without segments. */
      readonly tail: Tail | undefined;
    }
  | {
      readonly kind: "corrupt";
      readonly file: string;
      readonly offset: number;
      readonly what: string;
    }
  | { readonly kind: "foreign"; readonly file: string; readonly owner: string };

export interface Tail {
  readonly file: string;
  readonly segment: number;
  /** Where the intact part ends; what follows in the file is to be cut off. */
  readonly end: number;
  readonly nextBatch: number;
  readonly chain: number;
  /** The only batch whose acknowledgement is not proved by a later one: to be written again. */
  readonly last: DecodedBatch | undefined;
}

interface Progress {
  readonly records: DurableRecord[];
  nextBatch: number;
  chain: number;
  last: DecodedBatch | undefined;
}

/** `segments` in order of their numbers, `owner` the identity that every header must name. */
export function scan(segments: readonly SegmentSource[], owner: string): Scan {
  const progress: Progress = { records: [], nextBatch: 1, chain: 0, last: undefined };
  let tail: Tail | undefined;
  for (const [index, { file, firstBlock, read }] of segments.entries()) {
    const laterSegments = segments.slice(index + 1);
    const header = decodeSegmentHeader(firstBlock);
    const bytes = read();
    if (header === undefined) {
      // A crash while the segment was being made leaves no header; nothing was ever acknowledged in it.
      if (hasIntactBatch(bytes, BLOCK_BYTES) || laterSegments.some(isBegun)) {
        return { kind: "corrupt", file, offset: 0, what: "A damaged segment header" };
      }
      return { kind: "intact", records: progress.records, tail };
    }
    if (header.owner !== owner) return { kind: "foreign", file, owner: header.owner };
    if (!follows(header, progress, index === 0, tail?.segment)) {
      return {
        kind: "corrupt",
        file,
        offset: 0,
        what: "A segment that does not follow the one before it",
      };
    }
    const end = scanBatches(bytes, progress);
    if (hasIntactBatch(bytes, end) || (!isZero(bytes, end) && laterSegments.some(isBegun))) {
      return { kind: "corrupt", file, offset: end, what: "A damaged batch" };
    }
    const { nextBatch, chain, last } = progress;
    tail = { file, segment: header.segment, end, nextBatch, chain, last };
  }
  return { kind: "intact", records: progress.records, tail };
}

function follows(
  header: SegmentHeader,
  progress: Progress,
  isFirst: boolean,
  previous: number | undefined,
): boolean {
  if (isFirst) {
    progress.nextBatch = header.firstBatch;
    progress.chain = header.chain;
    return header.segment === 1;
  }
  return (
    header.segment === (previous ?? 0) + 1 &&
    header.firstBatch === progress.nextBatch &&
    header.chain === progress.chain
  );
}

/** Takes intact batches that follow on; returns where they end. */
function scanBatches(bytes: Uint8Array, progress: Progress): number {
  let offset = BLOCK_BYTES;
  for (;;) {
    const batch = decodeBatchAt(bytes, offset);
    if (batch?.number !== progress.nextBatch || batch.chain !== progress.chain) return offset;
    for (const record of batch.records) progress.records.push(record);
    progress.nextBatch += 1;
    progress.chain = batch.bodyCrc;
    progress.last = batch;
    offset += batch.bytes;
  }
}

function hasIntactBatch(bytes: Uint8Array, from: number): boolean {
  for (let offset = from; offset < bytes.length; offset += BLOCK_BYTES) {
    if (decodeBatchAt(bytes, offset) !== undefined) return true;
  }
  return false;
}

const isZero = (bytes: Uint8Array, from: number): boolean =>
  bytes.subarray(from).every((byte) => byte === 0);

/** A later segment was begun only after everything before it was durable. A preallocated one has no header yet. */
const isBegun = ({ firstBlock }: SegmentSource): boolean =>
  decodeSegmentHeader(firstBlock) !== undefined;
