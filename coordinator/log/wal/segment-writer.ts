/**
 * Writes batches into one segment after another, each numbered and chained to the one before, and makes the next segment
 * ready before it is needed. One call at a time, and none after an error: the log sees to both.
 */
import { assert } from "../../../shared/model/assert.ts";
import { ZERO_BALLOT, type Ballot } from "../../../shared/model/ids.ts";
import type { DurableRecord } from "../../paxos/record.ts";
import { BLOCK_BYTES, encodeBatch, ownerSeal } from "./codec.ts";
import type { Disk } from "./disk.ts";
import type { IntactScan, Place, Tail } from "./recovery.ts";
import { SegmentIndex } from "./segment-index.ts";
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
  readonly #openingBytes: number;
  #segment: OpenSegment | undefined;
  #nextSegment: Promise<BlankSegment> | undefined;
  #index = new SegmentIndex();
  #next: Place = { batch: 1, chain: 0 };
  #promised = ZERO_BALLOT;
  /** The last batch holds records, and nothing written later vouches for it. */
  #needsWitness = false;

  constructor(options: SegmentWriterOptions) {
    this.#options = options;
    this.#seal = ownerSeal(options.owner);
    this.#openingBytes = Math.min(options.segmentBytes, OPENING_SEGMENT_BYTES);
  }

  /** Segments below it are not needed, as what was written last says. */
  get firstNeeded(): number {
    return this.#index.firstNeeded;
  }

  /** The first segment of a new log; it holds an empty batch. */
  async beginLog(): Promise<void> {
    const { bytes, crc } = this.#encode([]);
    await this.#beginSegment(await this.#makeOpening(1), bytes, this.#next);
    this.#advance(crc);
  }

  /**
   * Goes on behind what was found. A last segment with little in it is written anew, so that many short lives do not leave many
   * files; behind a fuller one the next begins, with the last batch once more. Answers which of the two.
   */
  async goOn({ tail, records, segments, firstNeeded }: IntactScan): Promise<"rewritten" | "next"> {
    this.#promised = promisedAfter(ZERO_BALLOT, records);
    this.#index = new SegmentIndex(segments, firstNeeded);
    this.#next = tail.next;
    const isAlone = tail.lastFrom === 0;
    if (isAlone || BLOCK_BYTES + tail.batches.length <= this.#openingBytes / 2) {
      await this.#rewrite(tail);
      return "rewritten";
    }
    const blank = await this.#makeOpening(tail.segment + 1);
    await this.#beginSegment(blank, tail.batches.subarray(tail.lastFrom), tail.last);
    this.#index.note(tail.lastRecords);
    return "next";
  }

  /** The last batch gets its witness, unless it is the first: that one is durable before the segment has its name. */
  async #rewrite({ segment, first, batches, lastFrom, lastRecords }: Tail): Promise<void> {
    const witness = lastFrom === 0 || lastRecords.length === 0 ? undefined : this.#encode([]);
    const bytes = new Uint8Array(batches.length + (witness?.bytes.length ?? 0));
    bytes.set(batches);
    if (witness !== undefined) bytes.set(witness.bytes, batches.length);
    await this.#beginSegment(await this.#makeOpening(segment), bytes, first);
    if (witness !== undefined) this.#advance(witness.crc);
  }

  /** Resolves when the records are durable. */
  async write(records: readonly DurableRecord[]): Promise<void> {
    this.#promised = promisedAfter(this.#promised, records);
    for (const record of records) {
      if (record.kind === "snapshot") this.#index.truncate(record.truncatedUpTo);
    }
    const { bytes, crc } = this.#encode(records);
    await this.#place(bytes);
    this.#index.note(records);
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
    const { batch: number, chain } = this.#next;
    const [promised, firstSegment] = [this.#promised, this.#index.firstNeeded];
    return encodeBatch({ number, chain, promised, firstSegment, records }, this.#seal);
  }

  #advance(crc: number): void {
    this.#next = { batch: this.#next.batch + 1, chain: crc };
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
    await this.#beginSegment(blank, batch, this.#next);
    await present.finish();
  }

  async #beginSegment(blank: BlankSegment, batches: Uint8Array, first: Place): Promise<void> {
    const { disk, owner } = this.#options;
    const header = { owner, firstBatch: first.batch, chain: first.chain };
    this.#segment = await OpenSegment.begin(disk, blank, header, batches);
    this.#index.begin(blank.segment);
  }

  #makeOpening(segment: number): Promise<BlankSegment> {
    const { disk, directory } = this.#options;
    return makeBlankSegment(disk, { segment, directory, bytes: this.#openingBytes });
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
