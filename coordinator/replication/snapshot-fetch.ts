/**
 * One peer's snapshot on its way here: a few chunks asked for at a time, each again when it does not come, and all given up after
 * a few tries. What came is kept until it is restored, because the store does not show a snapshot before it counts.
 */
import type { Cancel, Clock } from "../../shared/model/ports.ts";
import { SNAPSHOT_CHUNK_BYTES, type SnapshotChunk } from "../log/log-store.ts";
import { checksum } from "../log/snapshot-chunks.ts";
import type { SnapshotTransfer } from "../paxos/message.ts";
import type { SnapshotSource } from "../paxos/state.ts";

export const FETCH_LIMITS = {
  /** From the first that was not handed on yet: half a megabyte, which is what a round trip moves. */
  chunksUnderWay: 8,
  triesPerChunk: 5,
  /** The ledger's own bounds keep a snapshot well below; more is no ledger of ours. */
  maxBytes: 2 * 1024 * 1024 * 1024,
} as const;

export interface SnapshotFetchOptions extends SnapshotSource {
  readonly clock: Clock;
  readonly chunkTimeoutMs: number;
  readonly ask: (request: Extract<SnapshotTransfer, { kind: "snapshotRequest" }>) => void;
  /** This node has come as far by other means. */
  readonly isMoot: () => boolean;
}

interface Awaited {
  readonly arrived: (chunk: SnapshotChunk) => void;
  readonly failed: (error: Error) => void;
}

export class SnapshotFetch {
  readonly source: SnapshotSource;
  readonly #options: SnapshotFetchOptions;
  readonly #chunks: Uint8Array[] = [];
  /** Those that came and are not handed on, by index. */
  readonly #arrived = new Map<number, SnapshotChunk>();
  /** Those that are on their way, each with the end of its patience. */
  readonly #asked = new Map<number, Cancel>();
  /** The index of the last chunk, once that has come. */
  #last = Infinity;
  /** Who waits for the next chunk. */
  #awaited: Awaited | undefined;
  #given: Error | undefined;

  constructor(options: SnapshotFetchOptions) {
    const { peer, slot } = options;
    this.source = { peer, slot };
    this.#options = options;
  }

  /** What has come so far: all of it once `chunks` has ended. */
  get received(): readonly Uint8Array[] {
    return this.#chunks;
  }

  /** For the store to take. Throws when the snapshot cannot be had, or is not what its sender says. */
  async *chunks(): AsyncGenerator<Uint8Array, void> {
    let [crc, total] = [0, 0];
    try {
      for (let isLast = false; !isLast;) {
        const { bytes, wholeCrc } = await this.#next();
        crc = checksum(bytes, crc);
        total += bytes.length;
        if (total > FETCH_LIMITS.maxBytes) throw new Error("it is too large");
        isLast = wholeCrc !== null;
        if (isLast && wholeCrc !== crc) throw new Error("its checksum is another");
        this.#chunks.push(bytes);
        yield bytes;
      }
    } finally {
      this.giveUp("it has ended");
    }
  }

  /** A piece that is not on its way is dropped. */
  receive({
    slot,
    chunk,
    bytes,
    wholeCrc,
  }: Extract<SnapshotTransfer, { kind: "snapshotChunk" }>): void {
    const cancel = slot === this.source.slot ? this.#asked.get(chunk) : undefined;
    const isBounded = bytes.length > 0 && bytes.length <= SNAPSHOT_CHUNK_BYTES;
    if (cancel === undefined || !isBounded) return;
    cancel();
    this.#asked.delete(chunk);
    if (wholeCrc !== null) this.#endAt(chunk);
    this.#arrived.set(chunk, { bytes, wholeCrc });
    this.#hand();
  }

  giveUp(why: string): void {
    this.#given ??= new Error(why);
    for (const cancel of this.#asked.values()) cancel();
    this.#asked.clear();
    this.#awaited?.failed(this.#given);
    this.#awaited = undefined;
  }

  #next(): Promise<SnapshotChunk> {
    return new Promise((resolve, reject) => {
      this.#awaited = { arrived: resolve, failed: reject };
      if (this.#options.isMoot()) this.giveUp("it is not needed any more");
      else if (this.#given !== undefined) this.giveUp(this.#given.message);
      else {
        this.#askForMore();
        this.#hand();
      }
    });
  }

  #hand(): void {
    const index = this.#chunks.length;
    const chunk = this.#arrived.get(index);
    if (chunk === undefined || this.#awaited === undefined) return;
    this.#arrived.delete(index);
    this.#awaited.arrived(chunk);
    this.#awaited = undefined;
  }

  #askForMore(): void {
    const first = this.#chunks.length;
    for (let chunk = first; chunk < first + FETCH_LIMITS.chunksUnderWay; chunk += 1) {
      const isKnown = this.#arrived.has(chunk) || this.#asked.has(chunk);
      if (!isKnown && chunk <= this.#last) this.#ask(chunk, 1);
    }
  }

  #ask(chunk: number, tries: number): void {
    const { ask, clock, chunkTimeoutMs, isMoot } = this.#options;
    const cancel = clock.after(chunkTimeoutMs, () => {
      if (isMoot()) this.giveUp("it is not needed any more");
      else if (tries === FETCH_LIMITS.triesPerChunk) this.giveUp(`chunk ${chunk} does not come`);
      else this.#ask(chunk, tries + 1);
    });
    this.#asked.set(chunk, cancel);
    ask({ kind: "snapshotRequest", slot: this.source.slot, chunk });
  }

  /** Nothing behind it was ever there. */
  #endAt(last: number): void {
    this.#last = last;
    for (const [chunk, cancel] of this.#asked) {
      if (chunk <= last) continue;
      cancel();
      this.#asked.delete(chunk);
    }
  }
}
