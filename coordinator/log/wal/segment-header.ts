/** The first block of a segment, pure: whose log it belongs to, and where in it. */
import { decodeHeaderBlock, encodeHeaderBlock } from "./header-block.ts";

const MAGIC = "SYNODWAL";
/** Version 1 knew no snapshots; what it wrote is read. */
const FORMAT_VERSION = 2;

export interface SegmentHeader {
  readonly segment: number;
  /** The number of the first batch in here; one of that number in the segment before does not count. */
  readonly firstBatch: number;
  /** The chain that batch carries. */
  readonly chain: number;
  /** Whose log this is: the identity as JSON. */
  readonly owner: string;
}

export function encodeSegmentHeader(header: SegmentHeader): Uint8Array {
  const { segment: number, firstBatch: position, chain, owner } = header;
  return encodeHeaderBlock(MAGIC, { version: FORMAT_VERSION, number, position, chain, owner });
}

/** `damaged`: no intact header. `otherVersion`: an intact one, of a format that this code does not read. */
export type DecodedSegmentHeader =
  | { readonly kind: "damaged" }
  | { readonly kind: "otherVersion"; readonly version: number }
  | ({ readonly kind: "header" } & SegmentHeader);

export function decodeSegmentHeader(block: Uint8Array): DecodedSegmentHeader {
  const header = decodeHeaderBlock(MAGIC, block);
  if (header === undefined) return { kind: "damaged" };
  const { version, number: segment, position: firstBatch, chain, owner } = header;
  if (version < 1 || version > FORMAT_VERSION) return { kind: "otherVersion", version };
  return { kind: "header", segment, firstBatch, chain, owner };
}
