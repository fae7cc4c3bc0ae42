/**
 * The bytes of the write-ahead log, as pure functions. Numbers are little-endian; every batch starts on a 4 KiB boundary, so
 * that a block that was acknowledged is never written again.
 *
 *   segment   one header block (segment-header.ts), then batches, then zeros
 *
 *   batch     0 magic u32          4 crc of bytes 8..44 u32          8 body length u32   12 body crc u32
 *             16 record count u32  20 chain u32                      24 number f64       32 promised ballot f64
 *             40 first segment u32 44 body … zeros up to the boundary
 *
 *   body      records: kind u8, then
 *               1 promised     ballot f64
 *               2 accepted     ballot f64 · slot f64 · length u32 · value
 *               3 learned      slot f64 · length u32 · value
 *               4 chosenUpTo   slot f64
 *               5 snapshot     slot f64 · truncated up to f64 · promised ballot f64
 *
 * `chain` is the header crc of the batch before, so a batch fits in one place only. Batches are numbered from 1 without gaps,
 * and one is written only when the one before it is durable: so each vouches that all before it were. It also repeats the
 * node's promise, for the day when a damaged log is to be read around its damage, and the number of the first segment that is
 * still needed: those below may be missing. Checksums of batches are salted with the
 * owner, which holds a random id: a client who hides a batch in a value cannot make it count. Ballots and slots are safe
 * integers, which a double holds exactly.
 */
import { unreachable } from "../../../shared/model/assert.ts";
import type { Ballot, Slot } from "../../../shared/model/ids.ts";
import type { DurableRecord } from "../../paxos/record.ts";
import { crc32 } from "./crc32.ts";

export const BLOCK_BYTES = 4096;
export const BATCH_HEADER_BYTES = 44;
const BATCH_MAGIC = 0x42415443;

/** The salt of a log's batch checksums. */
export const ownerSeal = (owner: string): number => crc32(new TextEncoder().encode(owner));

export interface Batch {
  readonly number: number;
  /** `crc` of the batch before; what the segment header says for the first. */
  readonly chain: number;
  /** The node's promise when this was written. */
  readonly promised: Ballot;
  readonly firstSegment: number;
  readonly records: readonly DurableRecord[];
}

export interface BatchHeader {
  readonly number: number;
  readonly chain: number;
  readonly promised: Ballot;
  readonly firstSegment: number;
  /** The next batch's chain. */
  readonly crc: number;
  readonly bodyBytes: number;
  readonly bodyCrc: number;
  readonly recordCount: number;
}

export interface EncodedBatch {
  /** Whole blocks. */
  readonly bytes: Uint8Array;
  readonly crc: number;
}

export const paddedBytes = (length: number): number =>
  Math.ceil(length / BLOCK_BYTES) * BLOCK_BYTES;

export const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

export function recordBytes(record: DurableRecord): number {
  switch (record.kind) {
    case "promised":
    case "chosenUpTo":
      return 9;
    case "accepted":
      return 21 + record.value.length;
    case "learned":
      return 13 + record.value.length;
    case "snapshot":
      return 25;
  }
}

function recordsBytes(records: readonly DurableRecord[]): number {
  return records.reduce((sum, record) => sum + recordBytes(record), 0);
}

export function encodeBatch(batch: Batch, seal: number): EncodedBatch {
  const bodyBytes = recordsBytes(batch.records);
  const bytes = new Uint8Array(paddedBytes(BATCH_HEADER_BYTES + bodyBytes));
  const view = viewOf(bytes);
  let at = BATCH_HEADER_BYTES;
  for (const record of batch.records) {
    writeRecord(bytes, view, at, record);
    at += recordBytes(record);
  }
  view.setUint32(0, BATCH_MAGIC, true);
  view.setUint32(8, bodyBytes, true);
  view.setUint32(12, crc32(bytes.subarray(BATCH_HEADER_BYTES, at), seal), true);
  view.setUint32(16, batch.records.length, true);
  view.setUint32(20, batch.chain, true);
  view.setFloat64(24, batch.number, true);
  view.setFloat64(32, batch.promised, true);
  view.setUint32(40, batch.firstSegment, true);
  const crc = crc32(bytes.subarray(8, BATCH_HEADER_BYTES), seal);
  view.setUint32(4, crc, true);
  return { bytes, crc };
}

function writeRecord(bytes: Uint8Array, view: DataView, at: number, record: DurableRecord): void {
  switch (record.kind) {
    case "promised":
      view.setUint8(at, 1);
      view.setFloat64(at + 1, record.ballot, true);
      return;
    case "accepted":
      view.setUint8(at, 2);
      view.setFloat64(at + 1, record.ballot, true);
      view.setFloat64(at + 9, record.slot, true);
      view.setUint32(at + 17, record.value.length, true);
      bytes.set(record.value, at + 21);
      return;
    case "learned":
      view.setUint8(at, 3);
      view.setFloat64(at + 1, record.slot, true);
      view.setUint32(at + 9, record.value.length, true);
      bytes.set(record.value, at + 13);
      return;
    case "chosenUpTo":
      view.setUint8(at, 4);
      view.setFloat64(at + 1, record.slot, true);
      return;
    case "snapshot":
      view.setUint8(at, 5);
      view.setFloat64(at + 1, record.slot, true);
      view.setFloat64(at + 9, record.truncatedUpTo, true);
      view.setFloat64(at + 17, record.promised, true);
      return;
    default:
      unreachable(record);
  }
}

/** Undefined when no intact batch header stands at `offset`. */
export function decodeBatchHeader(
  bytes: Uint8Array,
  offset: number,
  seal: number,
): BatchHeader | undefined {
  if (offset + BATCH_HEADER_BYTES > bytes.length) return undefined;
  const view = viewOf(bytes);
  if (view.getUint32(offset, true) !== BATCH_MAGIC) return undefined;
  const crc = view.getUint32(offset + 4, true);
  if (crc32(bytes.subarray(offset + 8, offset + BATCH_HEADER_BYTES), seal) !== crc)
    return undefined;
  return {
    crc,
    bodyBytes: view.getUint32(offset + 8, true),
    bodyCrc: view.getUint32(offset + 12, true),
    recordCount: view.getUint32(offset + 16, true),
    chain: view.getUint32(offset + 20, true),
    number: view.getFloat64(offset + 24, true),
    promised: view.getFloat64(offset + 32, true) as Ballot,
    firstSegment: view.getUint32(offset + 40, true),
  };
}

/** Undefined when the body of this header is not intact behind it. */
export function decodeBatchBody(
  bytes: Uint8Array,
  offset: number,
  header: BatchHeader,
  seal: number,
): readonly DurableRecord[] | undefined {
  const from = offset + BATCH_HEADER_BYTES;
  const end = from + header.bodyBytes;
  if (end > bytes.length) return undefined;
  const body = bytes.subarray(from, end);
  if (crc32(body, seal) !== header.bodyCrc) return undefined;
  const records = decodeRecords(body);
  return records?.length === header.recordCount ? records : undefined;
}

function decodeRecords(body: Uint8Array): readonly DurableRecord[] | undefined {
  const view = viewOf(body);
  const records: DurableRecord[] = [];
  let at = 0;
  while (at < body.length) {
    const record = decodeRecord(body, view, at);
    if (record === undefined) return undefined;
    records.push(record);
    at += recordBytes(record);
  }
  return records;
}

/** Undefined for an unknown kind, or a record that the body cuts off. */
function decodeRecord(body: Uint8Array, view: DataView, at: number): DurableRecord | undefined {
  const left = body.length - at;
  const number = (offset: number): number => view.getFloat64(at + offset, true);
  const value = (lengthAt: number): Uint8Array | undefined => {
    if (left < lengthAt + 4) return undefined;
    const from = at + lengthAt + 4;
    const end = from + view.getUint32(at + lengthAt, true);
    // A copy: a kept value must not keep a whole segment alive.
    return end > body.length ? undefined : new Uint8Array(body.subarray(from, end));
  };
  switch (view.getUint8(at)) {
    case 1:
      return left < 9 ? undefined : { kind: "promised", ballot: number(1) as Ballot };
    case 2: {
      const accepted = value(17);
      if (accepted === undefined) return undefined;
      const [ballot, slot] = [number(1) as Ballot, number(9) as Slot];
      return { kind: "accepted", ballot, slot, value: accepted };
    }
    case 3: {
      const learned = value(9);
      if (learned === undefined) return undefined;
      return { kind: "learned", slot: number(1) as Slot, value: learned };
    }
    case 4:
      return left < 9 ? undefined : { kind: "chosenUpTo", slot: number(1) as Slot };
    case 5: {
      if (left < 25) return undefined;
      const [slot, truncatedUpTo] = [number(1) as Slot, number(9) as Slot];
      return { kind: "snapshot", slot, truncatedUpTo, promised: number(17) as Ballot };
    }
    default:
      return undefined;
  }
}
