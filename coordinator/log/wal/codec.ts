/**
 * The bytes of the write-ahead log. All numbers are little-endian; every block starts on a 4 KiB boundary, so that a
 * block that was acknowledged is never written again.
 *
 *   segment   one header block, then batches, then zeros
 *   header    magic u64 · version u32 · segment u32 · firstBatch f64 · chain u32 · owner length u32 · owner (JSON) · crc u32
 *   batch     magic u32 · crc of the rest of this header u32 · body length u32 · body crc u32 · chain u32 ·
 *             batch number f64 · promised ballot f64 · body · zeros
 *   body      records: kind u8, then
 *               1 promised    ballot f64
 *               2 accepted    ballot f64 · slot f64 · length u32 · value
 *               3 learned     slot f64 · length u32 · value
 *               4 chosenUpTo  slot f64
 *
 * `chain` is the body crc of the batch before: a batch that follows another by chance does not fit. A batch is written
 * only after the one before it is durable, so every batch vouches that all before it were acknowledged. Ballots and slots
 * are safe integers, which a double holds exactly.
 */
import type { Ballot, Slot } from "../../../shared/model/ids.ts";
import type { DurableRecord } from "../../paxos/record.ts";
import { crc32 } from "./crc32.ts";

export const BLOCK_BYTES = 4096;
const FORMAT_VERSION = 1;
const SEGMENT_MAGIC = 0x53594e4f; // "SYNO"
const BATCH_MAGIC = 0x42415443; // "BATC"
export const BATCH_HEADER_BYTES = 36;
const SEGMENT_FIXED_BYTES = 32;

export const paddedBytes = (length: number): number =>
  Math.ceil(length / BLOCK_BYTES) * BLOCK_BYTES;

export interface SegmentHeader {
  readonly segment: number;
  /** Number of the first batch in this segment. */
  readonly firstBatch: number;
  /** Body crc of the batch before it. */
  readonly chain: number;
  /** Whose log this is: the identity as JSON. */
  readonly owner: string;
}

export interface Batch {
  readonly number: number;
  readonly chain: number;
  /** The node's promise when this was written. */
  readonly promised: Ballot;
  readonly records: readonly DurableRecord[];
}

const view = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

export function encodeSegmentHeader(header: SegmentHeader): Uint8Array {
  const owner = new TextEncoder().encode(header.owner);
  const bytes = new Uint8Array(BLOCK_BYTES);
  const data = view(bytes);
  data.setUint32(0, SEGMENT_MAGIC, true);
  data.setUint32(4, FORMAT_VERSION, true);
  data.setUint32(8, header.segment, true);
  data.setFloat64(12, header.firstBatch, true);
  data.setUint32(20, header.chain, true);
  data.setUint32(24, owner.length, true);
  bytes.set(owner, SEGMENT_FIXED_BYTES);
  data.setUint32(BLOCK_BYTES - 4, crc32(bytes.subarray(0, BLOCK_BYTES - 4)), true);
  return bytes;
}

/** Undefined when the block is no intact header of this format. */
export function decodeSegmentHeader(bytes: Uint8Array): SegmentHeader | undefined {
  if (bytes.length < BLOCK_BYTES) return undefined;
  const data = view(bytes);
  if (data.getUint32(0, true) !== SEGMENT_MAGIC) return undefined;
  const crc = data.getUint32(BLOCK_BYTES - 4, true);
  if (crc32(bytes.subarray(0, BLOCK_BYTES - 4)) !== crc) return undefined;
  if (data.getUint32(4, true) !== FORMAT_VERSION) return undefined;
  const length = data.getUint32(24, true);
  return {
    segment: data.getUint32(8, true),
    firstBatch: data.getFloat64(12, true),
    chain: data.getUint32(20, true),
    owner: new TextDecoder().decode(
      bytes.subarray(SEGMENT_FIXED_BYTES, SEGMENT_FIXED_BYTES + length),
    ),
  };
}

function recordBytes(record: DurableRecord): number {
  switch (record.kind) {
    case "promised":
    case "chosenUpTo":
      return 9;
    case "accepted":
      return 21 + record.value.length;
    case "learned":
      return 13 + record.value.length;
  }
}

function writeRecord(bytes: Uint8Array, data: DataView, at: number, record: DurableRecord): void {
  switch (record.kind) {
    case "promised":
      data.setUint8(at, 1);
      data.setFloat64(at + 1, record.ballot, true);
      return;
    case "accepted":
      data.setUint8(at, 2);
      data.setFloat64(at + 1, record.ballot, true);
      data.setFloat64(at + 9, record.slot, true);
      data.setUint32(at + 17, record.value.length, true);
      bytes.set(record.value, at + 21);
      return;
    case "learned":
      data.setUint8(at, 3);
      data.setFloat64(at + 1, record.slot, true);
      data.setUint32(at + 9, record.value.length, true);
      bytes.set(record.value, at + 13);
      return;
    case "chosenUpTo":
      data.setUint8(at, 4);
      data.setFloat64(at + 1, record.slot, true);
      return;
  }
}

export interface EncodedBatch {
  /** Whole blocks. */
  readonly bytes: Uint8Array;
  /** Becomes the chain of the next batch. */
  readonly bodyCrc: number;
}

export function encodeBatchBytes(batch: Batch): EncodedBatch {
  const bodyLength = batch.records.reduce((sum, record) => sum + recordBytes(record), 0);
  const bytes = new Uint8Array(paddedBytes(BATCH_HEADER_BYTES + bodyLength));
  const data = view(bytes);
  let at = BATCH_HEADER_BYTES;
  for (const record of batch.records) {
    writeRecord(bytes, data, at, record);
    at += recordBytes(record);
  }
  const bodyCrc = crc32(bytes.subarray(BATCH_HEADER_BYTES, at));
  data.setUint32(0, BATCH_MAGIC, true);
  data.setUint32(8, bodyLength, true);
  data.setUint32(12, bodyCrc, true);
  data.setUint32(16, batch.chain, true);
  data.setFloat64(20, batch.number, true);
  data.setFloat64(28, batch.promised, true);
  data.setUint32(4, crc32(bytes.subarray(8, BATCH_HEADER_BYTES)), true);
  return { bytes, bodyCrc };
}

export interface DecodedBatch extends Batch {
  readonly bodyCrc: number;
  /** Whole blocks taken. */
  readonly bytes: number;
}

/** Undefined when no intact batch starts at `offset`. */
export function decodeBatchAt(bytes: Uint8Array, offset: number): DecodedBatch | undefined {
  if (offset + BATCH_HEADER_BYTES > bytes.length) return undefined;
  const data = view(bytes);
  if (data.getUint32(offset, true) !== BATCH_MAGIC) return undefined;
  const header = bytes.subarray(offset + 8, offset + BATCH_HEADER_BYTES);
  if (crc32(header) !== data.getUint32(offset + 4, true)) return undefined;
  const bodyLength = data.getUint32(offset + 8, true);
  const from = offset + BATCH_HEADER_BYTES;
  if (from + bodyLength > bytes.length) return undefined;
  const bodyCrc = data.getUint32(offset + 12, true);
  if (crc32(bytes.subarray(from, from + bodyLength)) !== bodyCrc) return undefined;
  const records = decodeRecords(bytes, data, from, from + bodyLength);
  if (records === undefined) return undefined;
  return {
    number: data.getFloat64(offset + 20, true),
    chain: data.getUint32(offset + 16, true),
    promised: data.getFloat64(offset + 28, true) as Ballot,
    records,
    bodyCrc,
    bytes: paddedBytes(BATCH_HEADER_BYTES + bodyLength),
  };
}

function decodeRecords(
  bytes: Uint8Array,
  data: DataView,
  from: number,
  end: number,
): readonly DurableRecord[] | undefined {
  const records: DurableRecord[] = [];
  const number = (at: number): number => data.getFloat64(at, true);
  for (let at = from; at < end;) {
    const kind = data.getUint8(at);
    let record: DurableRecord;
    if (kind === 1) record = { kind: "promised", ballot: number(at + 1) as Ballot };
    else if (kind === 4) record = { kind: "chosenUpTo", slot: number(at + 1) as Slot };
    else if (kind === 2) {
      const value = bytes.slice(at + 21, at + 21 + data.getUint32(at + 17, true));
      const ballot = number(at + 1) as Ballot;
      record = { kind: "accepted", ballot, slot: number(at + 9) as Slot, value };
    } else if (kind === 3) {
      const value = bytes.slice(at + 13, at + 13 + data.getUint32(at + 9, true));
      record = { kind: "learned", slot: number(at + 1) as Slot, value };
    } else return undefined;
    records.push(record);
    at += recordBytes(record);
  }
  return records;
}
