/**
 * Snapshots as files beside the segments: `<slot>.snapshot`, a draft until it is durable. What is found under the name of a
 * snapshot was whole once; whether it counts only the log's records tell.
 */
import { join } from "node:path";
import { assert } from "../../../shared/model/assert.ts";
import { ZERO_SLOT, type Slot } from "../../../shared/model/ids.ts";
import type { SnapshotRecord } from "../../paxos/record.ts";
import {
  LogCorruption,
  SnapshotAbandoned,
  type SnapshotChunk,
  type StoredSnapshot,
} from "../log-store.ts";
import { taken } from "../snapshot-chunks.ts";
import { assertGoesOn } from "../truncation.ts";
import { BLOCK_BYTES } from "./codec.ts";
import { crc32 } from "./crc32.ts";
import { writeAll, type Disk, type DiskFile } from "./disk.ts";
import {
  CHUNK_HEADER_BYTES,
  decodeChunk,
  decodeTrailer,
  encodeChunk,
  encodeSnapshotHeader,
  encodeTrailer,
  FOOTER_BYTES,
  snapshotHeaderTrouble,
  snapshotSeal,
  trailerBytes,
  type SnapshotTrailer,
} from "./snapshot-codec.ts";

/** Each step is synced before the next, so that writes of the log wait for a step, not for the whole. */
const SYNC_STEP_BYTES = 256 * 1024;
/** A safe integer has sixteen digits. */
const SLOT_DIGITS = 16;

export const snapshotName = (slot: Slot): string =>
  `${String(slot).padStart(SLOT_DIGITS, "0")}.snapshot`;
export const isSnapshotDraftName = (name: string): boolean =>
  /^\d{16}\.snapshot\.draft$/.test(name);

export function snapshotSlotOf(name: string): Slot | undefined {
  const match = /^(\d{16})\.snapshot$/.exec(name);
  return match === null ? undefined : (Number(match[1]) as Slot);
}

/** Where a snapshot's chunks are. */
interface Layout {
  readonly slot: Slot;
  readonly file: string;
  readonly seal: number;
  /** Of every chunk, and of the trailer behind them. */
  readonly offsets: readonly number[];
  readonly wholeCrc: number;
}

export interface SnapshotFilesOptions {
  readonly disk: Disk;
  readonly directory: string;
  /** The identity, as headers name it. */
  readonly owner: string;
}

type Chunks = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
/** Runs one operation on the disk, or throws instead. */
type Perform = <Result>(operation: () => Promise<Result>) => Promise<Result>;

export class SnapshotFiles {
  readonly #options: SnapshotFilesOptions;
  /** Durable under their names, and not older than the one that counts. */
  readonly #saved = new Map<Slot, Layout>();
  #counting: Layout | undefined;
  /** Readable although a later one counts, or will. */
  #kept: ReadonlyMap<Slot, Layout> = new Map();
  /** By the last record that was given to the log. */
  #named: SnapshotRecord | undefined;

  constructor(options: SnapshotFilesOptions) {
    this.#options = options;
  }

  /** The snapshot that a record of the log names. Throws LogCorruption. */
  recover(named: SnapshotRecord): StoredSnapshot {
    const { slot } = named;
    const layout = this.#read(slot);
    this.#saved.set(slot, layout);
    this.#named = named;
    this.count(slot);
    return { slot, chunks: () => this.#chunks(layout) };
  }

  /** Every operation on the disk goes through `perform`. */
  async save(slot: Slot, chunks: Chunks, perform: Perform): Promise<void> {
    if (slot <= (this.#named?.slot ?? ZERO_SLOT))
      throw new SnapshotAbandoned("a later snapshot counts already");
    const { disk, directory, owner } = this.#options;
    const path = join(directory, snapshotName(slot));
    const draft = `${path}.draft`;
    const file = await perform(() => disk.create(draft));
    const place = { slot, file: path, seal: snapshotSeal(owner, slot) };
    try {
      const layout = await this.#write(file, place, chunks, perform).finally(() => file.close());
      await perform(async () => {
        disk.rename(draft, path);
        await disk.syncDirectory(directory);
      });
      this.#saved.set(slot, layout);
    } catch (error) {
      if (error instanceof SnapshotAbandoned) await perform(() => disk.remove(draft));
      throw error;
    }
  }

  /** Resolves when all of it is on the medium. */
  async #write(
    file: DiskFile,
    place: Pick<Layout, "slot" | "file" | "seal">,
    chunks: Chunks,
    perform: Perform,
  ): Promise<Layout> {
    const lengths: number[] = [];
    let [end, synced, wholeCrc] = [0, 0, 0];
    const put = (bytes: Uint8Array): Promise<void> =>
      perform(async () => {
        await writeAll(file, bytes, end);
        end += bytes.length;
        if (end - synced < SYNC_STEP_BYTES) return;
        await file.sync();
        synced = end;
      });
    await put(encodeSnapshotHeader(this.#options.owner, place.slot));
    for await (const chunk of taken(chunks)) {
      // Of the caller's bytes only this copy is used: it may write on while this one waits for the disk.
      const encoded = encodeChunk(chunk, lengths.length, place.seal);
      wholeCrc = crc32(encoded.subarray(CHUNK_HEADER_BYTES), wholeCrc);
      lengths.push(chunk.length);
      await put(encoded);
    }
    await put(encodeTrailer({ lengths, wholeCrc }, end, place.seal));
    await perform(() => file.sync());
    return { ...place, offsets: offsetsOf(lengths), wholeCrc };
  }

  /** A record that names this snapshot is about to be written. */
  name(record: SnapshotRecord): void {
    assert(this.#saved.has(record.slot), "a snapshot is saved before it is named");
    assertGoesOn(this.#named, record);
    this.#named = record;
  }

  /** That record is durable. */
  count(slot: Slot): void {
    this.#counting = this.#saved.get(slot);
    for (const other of this.#saved.keys()) if (other < slot) this.#saved.delete(other);
  }

  keep(slots: ReadonlySet<Slot>): ReadonlySet<Slot> {
    const layouts = [...slots].map((slot) => this.#readable(slot));
    const kept = layouts.flatMap((layout) =>
      layout === undefined ? [] : [[layout.slot, layout] as const],
    );
    this.#kept = new Map(kept);
    return new Set(this.#kept.keys());
  }

  /** Nobody needs it any more; one above may be waiting for its record. */
  isObsolete(slot: Slot): boolean {
    return slot < (this.#counting?.slot ?? ZERO_SLOT) && !this.#kept.has(slot);
  }

  #readable(slot: Slot): Layout | undefined {
    return this.#counting?.slot === slot ? this.#counting : this.#kept.get(slot);
  }

  async readChunk(slot: Slot, index: number): Promise<SnapshotChunk | undefined> {
    const layout = this.#readable(slot);
    if (layout === undefined || !isChunkOf(layout, index)) return undefined;
    const { file, offsets, wholeCrc } = layout;
    const { offset, length } = placeOf(layout, index);
    try {
      const bytes = await this.#options.disk.fetch(file, offset, length);
      const isLast = index === offsets.length - 2;
      return { bytes: checkedChunk(layout, index, bytes), wholeCrc: isLast ? wholeCrc : null };
    } catch (error) {
      // Another one may count by now, and this one be gone.
      if (this.#readable(slot) !== layout) return undefined;
      if (error instanceof LogCorruption) throw error;
      throw new LogCorruption(file, offset, `A snapshot that cannot be read (${String(error)})`);
    }
  }

  *#chunks(layout: Layout): Generator<Uint8Array, void> {
    const { disk } = this.#options;
    const { file, offsets } = layout;
    let wholeCrc = 0;
    for (let index = 0; isChunkOf(layout, index); index += 1) {
      const { offset, length } = placeOf(layout, index);
      const chunk = checkedChunk(layout, index, disk.readPart(file, offset, length));
      wholeCrc = crc32(chunk, wholeCrc);
      yield chunk;
    }
    if (wholeCrc !== layout.wholeCrc) {
      throw new LogCorruption(file, offsets.at(-1) ?? 0, "A snapshot's damaged whole checksum");
    }
  }

  #read(slot: Slot): Layout {
    const { disk, directory, owner } = this.#options;
    const file = join(directory, snapshotName(slot));
    if (!disk.exists(file)) throw new LogCorruption(file, 0, "A missing snapshot");
    const trouble = snapshotHeaderTrouble(disk.readPart(file, 0, BLOCK_BYTES), owner, slot);
    if (trouble !== undefined) throw new LogCorruption(file, 0, trouble);
    const seal = snapshotSeal(owner, slot);
    const { lengths, wholeCrc } = readTrailer(disk, file, seal);
    return { slot, file, seal, offsets: offsetsOf(lengths), wholeCrc };
  }
}

function readTrailer(disk: Disk, file: string, seal: number): SnapshotTrailer {
  const fileBytes = disk.lengthOf(file);
  const footerAt = Math.max(0, fileBytes - FOOTER_BYTES);
  const length = trailerBytes(disk.readPart(file, footerAt, FOOTER_BYTES));
  const start = fileBytes - (length ?? Infinity);
  const trailer =
    length === undefined || start < BLOCK_BYTES
      ? undefined
      : decodeTrailer(disk.readPart(file, start, length), fileBytes, seal);
  if (trailer === undefined) throw new LogCorruption(file, footerAt, "A damaged snapshot trailer");
  return trailer;
}

function offsetsOf(lengths: readonly number[]): readonly number[] {
  const offsets = [BLOCK_BYTES];
  let end = BLOCK_BYTES;
  for (const length of lengths) offsets.push((end += CHUNK_HEADER_BYTES + length));
  return offsets;
}

const isChunkOf = ({ offsets }: Layout, index: number): boolean =>
  Number.isSafeInteger(index) && index >= 0 && index < offsets.length - 1;

function placeOf({ offsets }: Layout, index: number): { offset: number; length: number } {
  const [offset, end] = [offsets[index], offsets[index + 1]];
  assert(offset !== undefined && end !== undefined, "the chunk is one of the snapshot's");
  return { offset, length: end - offset };
}

function checkedChunk(layout: Layout, index: number, bytes: Uint8Array): Uint8Array {
  const { offset, length } = placeOf(layout, index);
  const chunk = bytes.length === length ? decodeChunk(bytes, index, layout.seal) : undefined;
  if (chunk === undefined) {
    throw new LogCorruption(layout.file, offset, "A damaged snapshot chunk");
  }
  return chunk;
}
