/**
 * Writes batches into one segment after another, each numbered and chained to the one before, and makes the next segment
 * ready before it is needed. One call at a time, and none after an error: the log sees to both.
 */
import { assert } from "../../../shared/model/assert.ts";
import { ZERO_BALLOT, type Ballot } from "../../../shared/model/ids.ts";
import type { DurableRecord } from "../../paxos/record.ts";
import { encodeBatch, ownerSeal } from "./codec.ts";
import type { Disk } from "./disk.ts";
import type { Tail } from "./recovery.ts";
import { makeBlankSegment, OpenSegment, type BlankSegment } from "./segment.ts";

export interface SegmentWriterOptions {
  readonly disk: Disk;
  readonly directory: string;
  /** The identity, as segment headers name it. */
  readonly owner: string;
  readonly segmentBytes: number;
}

/** The first segment after a start is small: the node waits for it. */
const OPENING_SEGMENT_BYTES = 2 * 1024 * 1024;

export class SegmentWriter {
  readonly #options: SegmentWriterOptions;
  readonly #seal: number;
  #segment: OpenSegment | undefined;
  #nextSegment: Promise<BlankSegment> | undefined;
  #nextBatch = 1;
  #chain = 0;
  #promised = ZERO_BALLOT;
  /** The last batch holds records, and nothing written later vouches for it. */
  #needsWitness = false;

  constructor(options: SegmentWriterOptions) {
    this.#options = options;
    this.#seal = ownerSeal(options.owner);
  }

  /** The first segment of a new log; it holds an empty batch. */
  async beginLog(): Promise<void> {
    const { bytes, crc } = this.#encode([]);
    await this.#beginSegment(await this.#makeOpening(1), bytes);
    this.#advance(crc);
  }

  /** The first segment after a start; it holds the last batch before it once more. */
  async goOn(tail: Tail, recovered: readonly DurableRecord[]): Promise<void> {
    this.#promised = promisedAfter(ZERO_BALLOT, recovered);
    this.#nextBatch = tail.batch;
    this.#chain = tail.chain;
    await this.#beginSegment(await this.#makeOpening(tail.segment + 1), tail.bytes);
    this.#advance(tail.crc);
  }

  /** Resolves when the records are durable. */
  async write(records: readonly DurableRecord[]): Promise<void> {
    this.#promised = promisedAfter(this.#promised, records);
    const { bytes, crc } = this.#encode(records);
    await this.#place(bytes);
    this.#advance(crc);
    this.#needsWitness = records.length > 0;
  }

  /** `inOrder`: nothing failed, and the last batch gets its witness. */
  async end(inOrder: boolean): Promise<void> {
    // Its error was met by whoever needed the segment, or nobody will.
    await this.#nextSegment?.catch(() => undefined);
    if (!inOrder) {
      await this.#segment?.abandon();
      return;
    }
    if (this.#needsWitness) await this.write([]);
    await this.#segment?.finish();
  }

  #encode(records: readonly DurableRecord[]): ReturnType<typeof encodeBatch> {
    const batch = {
      number: this.#nextBatch,
      chain: this.#chain,
      promised: this.#promised,
      records,
    };
    return encodeBatch(batch, this.#seal);
  }

  #advance(crc: number): void {
    this.#nextBatch += 1;
    this.#chain = crc;
  }

  /** Into the present segment, or into the one made ready behind it. */
  async #place(batch: Uint8Array): Promise<void> {
    const present = this.#segment;
    assert(present !== undefined, "an open log has a segment");
    if (present.freeBytes < Math.max(batch.length, this.#options.segmentBytes / 2)) {
      this.#nextSegment ??= this.#makeAhead(present.segment + 1);
    }
    if (present.freeBytes >= batch.length) {
      await present.append(batch);
      return;
    }
    const blank = await this.#nextSegment;
    assert(blank !== undefined, "a full segment has a next one");
    this.#nextSegment = undefined;
    await this.#beginSegment(blank, batch);
    await present.finish();
  }

  async #beginSegment(blank: BlankSegment, batch: Uint8Array): Promise<void> {
    const { disk, owner } = this.#options;
    const header = { owner, firstBatch: this.#nextBatch, chain: this.#chain };
    this.#segment = await OpenSegment.begin(disk, blank, header, batch);
  }

  #makeOpening(segment: number): Promise<BlankSegment> {
    const { disk, directory, segmentBytes } = this.#options;
    const bytes = Math.min(segmentBytes, OPENING_SEGMENT_BYTES);
    return makeBlankSegment(disk, { segment, directory, bytes });
  }

  #makeAhead(segment: number): Promise<BlankSegment> {
    const { disk, directory, segmentBytes: bytes } = this.#options;
    const blank = makeBlankSegment(disk, { segment, directory, bytes });
    // A failure is met by whoever needs the segment; until then it must not count as unhandled.
    blank.catch(() => undefined);
    return blank;
  }
}

/** The highest of a promise and what records promise: an accept promises its own ballot, a snapshot repeats. */
function promisedAfter(promised: Ballot, records: readonly DurableRecord[]): Ballot {
  let highest = promised;
  for (const record of records) {
    const ballot = promisedBy(record);
    if (ballot > highest) highest = ballot;
  }
  return highest;
}

function promisedBy(record: DurableRecord): Ballot {
  switch (record.kind) {
    case "promised":
    case "accepted":
      return record.ballot;
    case "snapshot":
      return record.promised;
    case "learned":
    case "chosenUpTo":
      return ZERO_BALLOT;
  }
}
