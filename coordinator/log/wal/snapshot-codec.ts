/**
 * The bytes of a snapshot file, as pure functions. Numbers are little-endian.
 *
 *   snapshot  one header block (header-block.ts; its position is the slot), then the chunks, then the trailer
 *
 *   chunk     0 crc of all that follows u32   4 index u32   8 length u32   12 bytes
 *
 *   trailer   of every chunk its length u32, then
 *             0 crc of all other bytes of the trailer u32   4 magic u32   8 chunk count u32   12 whole crc u32
 *             16 length of the file f64
 *
 * The checksums of chunks and trailer are salted with owner and slot: a chunk fits in one place of one snapshot only. The whole
 * crc is the plain CRC-32 of the chunks' bytes: it travels to peers, who know no salt of ours.
 */
import type { Slot } from "../../../shared/model/ids.ts";
import { viewOf } from "./codec.ts";
import { crc32 } from "./crc32.ts";
import { decodeHeaderBlock, encodeHeaderBlock } from "./header-block.ts";

const MAGIC = "SYNODSNP";
const FORMAT_VERSION = 1;
const TRAILER_MAGIC = 0x534e4150;
export const CHUNK_HEADER_BYTES = 12;
/** What every trailer ends with, whatever it says of the chunks. */
export const FOOTER_BYTES = 24;

export const snapshotSeal = (owner: string, slot: Slot): number =>
  crc32(new TextEncoder().encode(`${slot} ${owner}`));

export function encodeSnapshotHeader(owner: string, slot: Slot): Uint8Array {
  const unused = { number: 0, chain: 0 };
  return encodeHeaderBlock(MAGIC, { version: FORMAT_VERSION, position: slot, owner, ...unused });
}

/** What speaks against this being the header of that snapshot; undefined when nothing does. */
export function snapshotHeaderTrouble(
  block: Uint8Array,
  owner: string,
  slot: Slot,
): string | undefined {
  const header = decodeHeaderBlock(MAGIC, block);
  if (header === undefined) return "A damaged snapshot header";
  if (header.version !== FORMAT_VERSION) {
    return `A snapshot of format version ${header.version}, unknown to this program,`;
  }
  if (header.owner !== owner) return `A snapshot of another log (${header.owner})`;
  if (header.position !== slot) return `A snapshot of slot ${header.position}`;
  return undefined;
}

export function encodeChunk(chunk: Uint8Array, index: number, seal: number): Uint8Array {
  const bytes = new Uint8Array(CHUNK_HEADER_BYTES + chunk.length);
  const view = viewOf(bytes);
  view.setUint32(4, index, true);
  view.setUint32(8, chunk.length, true);
  bytes.set(chunk, CHUNK_HEADER_BYTES);
  view.setUint32(0, crc32(bytes.subarray(4), seal), true);
  return bytes;
}

/** `bytes` are what the file holds in the chunk's place. Undefined when they are not that chunk. */
export function decodeChunk(
  bytes: Uint8Array,
  index: number,
  seal: number,
): Uint8Array | undefined {
  if (bytes.length < CHUNK_HEADER_BYTES) return undefined;
  const view = viewOf(bytes);
  if (view.getUint32(0, true) !== crc32(bytes.subarray(4), seal)) return undefined;
  const isInPlace =
    view.getUint32(4, true) === index &&
    view.getUint32(8, true) === bytes.length - CHUNK_HEADER_BYTES;
  return isInPlace ? bytes.subarray(CHUNK_HEADER_BYTES) : undefined;
}

export interface SnapshotTrailer {
  /** Of every chunk's bytes. */
  readonly lengths: readonly number[];
  readonly wholeCrc: number;
}

const trailerBytesOf = (chunks: number): number => 4 * chunks + FOOTER_BYTES;

/** `start`: where in the file the trailer begins. */
export function encodeTrailer(
  { lengths, wholeCrc }: SnapshotTrailer,
  start: number,
  seal: number,
): Uint8Array {
  const bytes = new Uint8Array(trailerBytesOf(lengths.length));
  const view = viewOf(bytes);
  for (const [index, length] of lengths.entries()) view.setUint32(4 * index, length, true);
  const footer = 4 * lengths.length;
  view.setUint32(footer + 4, TRAILER_MAGIC, true);
  view.setUint32(footer + 8, lengths.length, true);
  view.setUint32(footer + 12, wholeCrc, true);
  view.setFloat64(footer + 16, start + bytes.length, true);
  view.setUint32(footer, trailerCrc(bytes, footer, seal), true);
  return bytes;
}

function trailerCrc(bytes: Uint8Array, footer: number, seal: number): number {
  return crc32(bytes.subarray(footer + 4), crc32(bytes.subarray(0, footer), seal));
}

/** How long the trailer is that ends with these bytes, which nothing vouches for yet. Undefined when none does. */
export function trailerBytes(footer: Uint8Array): number | undefined {
  if (footer.length !== FOOTER_BYTES) return undefined;
  const view = viewOf(footer);
  return view.getUint32(4, true) === TRAILER_MAGIC
    ? trailerBytesOf(view.getUint32(8, true))
    : undefined;
}

/** `bytes`: as many as `trailerBytes` said, up to the end of a file of `fileBytes`. Undefined when it is not intact. */
export function decodeTrailer(
  bytes: Uint8Array,
  fileBytes: number,
  seal: number,
): SnapshotTrailer | undefined {
  const footer = bytes.length - FOOTER_BYTES;
  if (footer < 0) return undefined;
  const view = viewOf(bytes);
  if (view.getUint32(footer, true) !== trailerCrc(bytes, footer, seal)) return undefined;
  if (view.getFloat64(footer + 16, true) !== fileBytes) return undefined;
  const lengths = Array.from({ length: footer / 4 }, (_, at) => view.getUint32(4 * at, true));
  return { lengths, wholeCrc: view.getUint32(footer + 12, true) };
}
