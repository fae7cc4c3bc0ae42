/**
 * Segment files: made ahead of need and filled with zeros, so that a write in the middle changes no file size and its sync
 * is one trip to the disk.
 */
import { join } from "node:path";
import { BLOCK_BYTES, encodeSegmentHeader, type SegmentHeader } from "./codec.ts";
import { writeAll, type Disk, type DiskFile } from "./disk.ts";

const FILL_BYTES = 1024 * 1024;

export const segmentName = (segment: number): string =>
  `${String(segment).padStart(8, "0")}.segment`;
export const isSegmentName = (name: string): boolean => /^\d{8}\.segment$/.test(name);

/** A preallocated file without a header: nothing in it counts yet. */
export interface BlankSegment {
  readonly segment: number;
  readonly file: DiskFile;
  readonly bytes: number;
}

export async function makeBlankSegment(
  disk: Disk,
  directory: string,
  segment: number,
  bytes: number,
): Promise<BlankSegment> {
  const file = await disk.create(join(directory, segmentName(segment)));
  const zeros = new Uint8Array(Math.min(FILL_BYTES, bytes));
  for (let filled = 0; filled < bytes; filled += zeros.length) {
    await writeAll(file, zeros.subarray(0, Math.min(zeros.length, bytes - filled)), filled);
  }
  await file.sync();
  await disk.syncDirectory(directory);
  return { segment, file, bytes };
}

/** A segment that takes batches. */
export class OpenSegment {
  readonly #blank: BlankSegment;
  #end = BLOCK_BYTES;

  constructor(blank: BlankSegment) {
    this.#blank = blank;
  }

  static async begin(blank: BlankSegment, header: SegmentHeader): Promise<OpenSegment> {
    await writeAll(blank.file, encodeSegmentHeader(header), 0);
    await blank.file.sync();
    return new OpenSegment(blank);
  }

  get segment(): number {
    return this.#blank.segment;
  }

  get freeBytes(): number {
    return this.#blank.bytes - this.#end;
  }

  /** Resolves when the batch is durable. */
  async append(batch: Uint8Array): Promise<void> {
    await writeAll(this.#blank.file, batch, this.#end);
    await this.#blank.file.sync();
    this.#end += batch.length;
  }

  async close(): Promise<void> {
    await this.#blank.file.truncate(this.#end);
    await this.#blank.file.close();
  }
}
