/**
 * The first block of a segment, pure: whose log it belongs to, and where in it.
 *
 *   0 magic "SYNODWAL"   8 version u32   12 segment u32   16 first batch f64   24 chain u32
 *   28 owner length u32  32 owner (JSON) … zeros …        4092 crc of all before u32
 */
import { assert } from "../../../shared/model/assert.ts";
import { BLOCK_BYTES, viewOf } from "./codec.ts";
import { crc32 } from "./crc32.ts";

const MAGIC = "SYNODWAL";
const FORMAT_VERSION = 1;
const OWNER_OFFSET = 32;
const CRC_OFFSET = BLOCK_BYTES - 4;

export interface SegmentHeader {
  readonly segment: number;
  /** The number of the first batch in here; one of that number in the segment before does not count. */
  readonly firstBatch: number;
  /** The chain that batch carries. */
  readonly chain: number;
  /** Whose log this is: the identity as JSON. */
  readonly owner: string;
}

/** Its checksum is not salted: a header must be readable by whoever finds the file. */
export function encodeSegmentHeader(header: SegmentHeader): Uint8Array {
  const owner = new TextEncoder().encode(header.owner);
  assert(OWNER_OFFSET + owner.length <= CRC_OFFSET, "an owner fits into a segment's first block");
  const bytes = new Uint8Array(BLOCK_BYTES);
  const view = viewOf(bytes);
  bytes.set(new TextEncoder().encode(MAGIC), 0);
  view.setUint32(8, FORMAT_VERSION, true);
  view.setUint32(12, header.segment, true);
  view.setFloat64(16, header.firstBatch, true);
  view.setUint32(24, header.chain, true);
  view.setUint32(28, owner.length, true);
  bytes.set(owner, OWNER_OFFSET);
  view.setUint32(CRC_OFFSET, crc32(bytes.subarray(0, CRC_OFFSET)), true);
  return bytes;
}

/** `damaged`: no intact header. `otherVersion`: an intact one, of a format that this code does not read. */
export type DecodedSegmentHeader =
  | { readonly kind: "damaged" }
  | { readonly kind: "otherVersion"; readonly version: number }
  | ({ readonly kind: "header" } & SegmentHeader);

export function decodeSegmentHeader(block: Uint8Array): DecodedSegmentHeader {
  if (block.length < BLOCK_BYTES) return { kind: "damaged" };
  const view = viewOf(block);
  const text = (from: number, length: number): string =>
    new TextDecoder().decode(block.subarray(from, from + length));
  if (text(0, MAGIC.length) !== MAGIC) return { kind: "damaged" };
  const crc = view.getUint32(CRC_OFFSET, true);
  if (crc32(block.subarray(0, CRC_OFFSET)) !== crc) return { kind: "damaged" };
  const version = view.getUint32(8, true);
  if (version !== FORMAT_VERSION) return { kind: "otherVersion", version };
  return {
    kind: "header",
    segment: view.getUint32(12, true),
    firstBatch: view.getFloat64(16, true),
    chain: view.getUint32(24, true),
    owner: text(OWNER_OFFSET, Math.min(view.getUint32(28, true), CRC_OFFSET - OWNER_OFFSET)),
  };
}
