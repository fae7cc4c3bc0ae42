/**
 * The first block of every file of the log, pure: what it is, in which format, whose, and a few numbers of its own.
 *
 *   0 magic, 8 letters   8 version u32   12 number u32   16 position f64   24 chain u32
 *   28 owner length u32  32 owner (JSON) … zeros …        4092 crc of all before u32
 *
 * Its checksum is not salted: a header must be readable by whoever finds the file.
 */
import { assert } from "../../../shared/model/assert.ts";
import { BLOCK_BYTES, viewOf } from "./codec.ts";
import { crc32 } from "./crc32.ts";

const OWNER_OFFSET = 32;
const CRC_OFFSET = BLOCK_BYTES - 4;

export interface HeaderBlock {
  readonly version: number;
  readonly number: number;
  readonly position: number;
  readonly chain: number;
  /** Whose file this is: the identity as JSON. */
  readonly owner: string;
}

export function encodeHeaderBlock(magic: string, header: HeaderBlock): Uint8Array {
  const owner = new TextEncoder().encode(header.owner);
  assert(OWNER_OFFSET + owner.length <= CRC_OFFSET, "an owner fits into a file's first block");
  const bytes = new Uint8Array(BLOCK_BYTES);
  const view = viewOf(bytes);
  bytes.set(new TextEncoder().encode(magic), 0);
  view.setUint32(8, header.version, true);
  view.setUint32(12, header.number, true);
  view.setFloat64(16, header.position, true);
  view.setUint32(24, header.chain, true);
  view.setUint32(28, owner.length, true);
  bytes.set(owner, OWNER_OFFSET);
  view.setUint32(CRC_OFFSET, crc32(bytes.subarray(0, CRC_OFFSET)), true);
  return bytes;
}

/** Undefined when `block` is no intact header of this kind of file. */
export function decodeHeaderBlock(magic: string, block: Uint8Array): HeaderBlock | undefined {
  if (block.length < BLOCK_BYTES) return undefined;
  const view = viewOf(block);
  const text = (from: number, length: number): string =>
    new TextDecoder().decode(block.subarray(from, from + length));
  if (text(0, magic.length) !== magic) return undefined;
  const crc = view.getUint32(CRC_OFFSET, true);
  if (crc32(block.subarray(0, CRC_OFFSET)) !== crc) return undefined;
  return {
    version: view.getUint32(8, true),
    number: view.getUint32(12, true),
    position: view.getFloat64(16, true),
    chain: view.getUint32(24, true),
    owner: text(OWNER_OFFSET, Math.min(view.getUint32(28, true), CRC_OFFSET - OWNER_OFFSET)),
  };
}
