/**
 * One peer's snapshot on its way here: one chunk asked for at a time, again when it does not come, and given up after a few
 * tries. What came is kept until it is restored, because the store does not show a snapshot before it counts.
 */
import type { Cancel, Clock } from "../../shared/model/ports.ts";
import { SNAPSHOT_CHUNK_BYTES, type SnapshotChunk } from "../log/log-store.ts";
import { checksum } from "../log/snapshot-chunks.ts";
import type { SnapshotTransfer } from "../paxos/message.ts";
import type { SnapshotSource } from "../paxos/state.ts";

const FETCH_LIMITS = {
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
  readonly failed: (why: string) => void;
}

export class SnapshotFetch {
  readonly source: SnapshotSource;
  readonly #options: SnapshotFetchOptions;
  readonly #chunks: Uint8Array[] = [];
  #awaited: Awaited | undefined;
  #given: string | undefined;

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
  }

  /** A piece that was not asked for, or twice, is dropped. */
  receive({
    slot,
    chunk,
    bytes,
    wholeCrc,
  }: Extract<SnapshotTransfer, { kind: "snapshotChunk" }>): void {
    const isNext = slot === this.source.slot && chunk === this.#chunks.length;
    const isBounded = bytes.length > 0 && bytes.length <= SNAPSHOT_CHUNK_BYTES;
    if (isNext && isBounded) this.#awaited?.arrived({ bytes, wholeCrc });
  }

  giveUp(why: string): void {
    this.#given ??= why;
    this.#awaited?.failed(why);
  }

  #next(): Promise<SnapshotChunk> {
    if (this.#given !== undefined) return Promise.reject(new Error(this.#given));
    const { ask, clock, chunkTimeoutMs, isMoot } = this.#options;
    const chunk = this.#chunks.length;
    return new Promise((resolve, reject) => {
      let tries = 0;
      let cancel: Cancel = () => undefined;
      const end = (): void => {
        cancel();
        this.#awaited = undefined;
      };
      const failed = (why: string): void => {
        end();
        reject(new Error(why));
      };
      const arrived = (piece: SnapshotChunk): void => {
        end();
        resolve(piece);
      };
      const attempt = (): void => {
        if (isMoot()) failed("it is not needed any more");
        else if (tries >= FETCH_LIMITS.triesPerChunk) failed(`chunk ${chunk} does not come`);
        else {
          tries += 1;
          cancel = clock.after(chunkTimeoutMs, attempt);
          ask({ kind: "snapshotRequest", slot: this.source.slot, chunk });
        }
      };
      this.#awaited = { arrived, failed };
      attempt();
    });
  }
}
