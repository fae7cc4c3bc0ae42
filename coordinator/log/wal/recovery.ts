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
 *
 * For the trace a header is enough: it was written after the damaged batch had been acknowledged, whatever became of its body.
 * A segment that was begun by opening the log starts with the last batch once more: of two with one number the later counts.
 *
 * Two cases cannot be told apart from inside: a last batch that was acknowledged and rotted before another was written looks
 * like a torn one, and lost segments at the end look like segments that never were.
 */
import { assert } from "../../../shared/model/assert.ts";
import type { DurableRecord } from "../../paxos/record.ts";
import {
  BATCH_HEADER_BYTES,
  BLOCK_BYTES,
  decodeBatchBody,
  decodeBatchHeader,
  ownerSeal,
  paddedBytes,
} from "./codec.ts";
import { decodeSegmentHeader, type SegmentHeader } from "./segment-header.ts";

/** Segments are large: each is read when its turn comes. */
export interface SegmentSource {
  readonly file: string;
  /** The first block. */
  readonly readHeader: () => Uint8Array;
  readonly read: () => Uint8Array;
}

/** The last batch: not proved durable by a later one, and to be written again. */
export interface Tail {
  readonly file: string;
  readonly segment: number;
  readonly batch: number;
  /** Of the last batch. */
  readonly chain: number;
  /** The chain of the next. */
  readonly crc: number;
  /** Whole blocks. */
  readonly bytes: Uint8Array;
  /** Where it ends in the file; what follows was never acknowledged. */
  readonly end: number;
}

export type Scan =
  | { readonly kind: "intact"; readonly records: readonly DurableRecord[]; readonly tail: Tail }
  | {
      readonly kind: "corrupt";
      readonly file: string;
      readonly offset: number;
      readonly what: string;
    }
  | { readonly kind: "foreign"; readonly file: string; readonly owner: string };

type Trouble = Exclude<Scan, { kind: "intact" }>;
type Headers = readonly SegmentHeader[];

interface Walk {
  readonly records: readonly DurableRecord[];
  /** Number and chain of the batch that would come next, and where. */
  readonly next: number;
  readonly chain: number;
  readonly end: number;
  readonly last: { readonly from: number; readonly chain: number } | undefined;
}

const corrupt = (file: string, offset: number, what: string): Trouble => ({
  kind: "corrupt",
  ...{ file, offset, what },
});

/** `segments`, one at least, in order of their numbers; `owner` the identity that every header must name. */
export function scan(segments: readonly SegmentSource[], owner: string): Scan {
  const headers = readHeaders(segments, owner);
  if ("kind" in headers) return headers;
  const seal = ownerSeal(owner);
  const records: DurableRecord[] = [];
  let expected = { firstBatch: 1, chain: 0 };
  let tail: Tail | undefined;
  for (const [index, { file, read }] of segments.entries()) {
    const header = headers[index];
    assert(header !== undefined, "there is a header for every segment");
    if (header.firstBatch !== expected.firstBatch || header.chain !== expected.chain) {
      return corrupt(file, 0, "A segment that does not follow the one before it");
    }
    const bytes = read();
    const following = headers[index + 1];
    const walk = walkBatches(bytes, header, following?.firstBatch ?? Infinity, seal);
    const { next, chain, end } = walk;
    if (following === undefined ? hasTrace(bytes, walk, seal) : next < following.firstBatch) {
      return corrupt(file, end, "A damaged batch");
    }
    for (const record of walk.records) records.push(record);
    expected = { firstBatch: next, chain };
    tail = tailOf(file, header, walk, bytes);
  }
  return tail === undefined
    ? corrupt(segments.at(-1)?.file ?? "", BLOCK_BYTES, "A damaged first batch")
    : { kind: "intact", records, tail };
}

function readHeaders(segments: readonly SegmentSource[], owner: string): Headers | Trouble {
  const headers: SegmentHeader[] = [];
  for (const [index, { file, readHeader }] of segments.entries()) {
    const header = decodeSegmentHeader(readHeader());
    if (header.kind === "damaged") return corrupt(file, 0, "A damaged segment header");
    if (header.kind === "otherVersion") {
      const { version } = header;
      return corrupt(file, 0, `A segment of format version ${version}, unknown to this program,`);
    }
    if (header.owner !== owner) return { kind: "foreign", file, owner: header.owner };
    if (header.segment !== index + 1) {
      return corrupt(file, 0, `Segment ${header.segment} in the place of segment ${index + 1}`);
    }
    headers.push(header);
  }
  return headers;
}

function tailOf(
  file: string,
  { segment }: SegmentHeader,
  { last, next, chain, end }: Walk,
  bytes: Uint8Array,
): Tail | undefined {
  if (last === undefined) return undefined;
  // The file may end within the padding of its last block.
  const blocks = new Uint8Array(end - last.from);
  blocks.set(bytes.subarray(last.from, end));
  return { file, segment, batch: next - 1, chain: last.chain, crc: chain, end, bytes: blocks };
}

/** Takes batches that follow on, up to the one that the next segment begins with. */
function walkBatches(bytes: Uint8Array, header: SegmentHeader, until: number, seal: number): Walk {
  const records: DurableRecord[] = [];
  let { firstBatch: next, chain } = header;
  let end = BLOCK_BYTES;
  let last: Walk["last"];
  while (next < until) {
    const batch = decodeBatchHeader(bytes, end, seal);
    if (batch?.number !== next || batch.chain !== chain) break;
    const body = decodeBatchBody(bytes, end, batch, seal);
    if (body === undefined) break;
    for (const record of body) records.push(record);
    last = { from: end, chain };
    ({ crc: chain } = batch);
    next += 1;
    end += paddedBytes(BATCH_HEADER_BYTES + batch.bodyBytes);
  }
  return { records, next, chain, end, last };
}

/** Whether behind the intact batches stands one that was begun after a batch which is not there. */
function hasTrace(bytes: Uint8Array, { end, next, chain }: Walk, seal: number): boolean {
  for (let offset = end; offset < bytes.length; offset += BLOCK_BYTES) {
    const header = decodeBatchHeader(bytes, offset, seal);
    if (header === undefined) continue;
    const isTorn = offset === end && header.number === next && header.chain === chain;
    if (!isTorn) return true;
  }
  return false;
}
