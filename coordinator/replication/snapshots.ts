/**
 * Carries the snapshots that the core speaks of: takes own ones by policy, serves them to peers, fetches a peer's.
 *
 *   log has grown ──▶ image of what is applied ──┐
 *                                                ├──▶ store ──▶ core: snapshotSaved ──▶ record ──▶ (the store truncates)
 *   core: fetch ──▶ chunks from the peer ────────┘                        └──▶ a peer's is restored
 *
 * One snapshot is saved at a time, and a disk that does not get on with it has failed (save-watch.ts). One that a peer has
 * begun to read stays readable (snapshot-leases.ts). What cannot be fetched is given up: as long as the node is behind, the core
 * asks one peer after the other, and whoever offers a snapshot next is the next source.
 */
import type { NodeId, Slot } from "../../shared/model/ids.ts";
import type { Clock } from "../../shared/model/ports.ts";
import { LogCorruption, LogFailure, SnapshotAbandoned, type LogStore } from "../log/log-store.ts";
import type { ChosenSlot, SnapshotTransfer } from "../paxos/message.ts";
import type { PaxosInput, PaxosState, SnapshotSource } from "../paxos/state.ts";
import type { PeerTransport } from "../transport/peer-transport.ts";
import { SaveWatch } from "./save-watch.ts";
import { FETCH_LIMITS, SnapshotFetch } from "./snapshot-fetch.ts";
import { SnapshotLeases } from "./snapshot-leases.ts";

export interface SnapshotPolicy {
  /**
   * A snapshot is due when the log has grown by so much since the last one, and by as much as that one is large: so writing
   * snapshots never costs more than writing the log. Infinity: never.
   */
  readonly minGrowthBytes: number;
}

/**
 * The log that is kept for a peer's transfer has a bound, in what grows between two snapshots: a peer that fetches faster than the log
 * grows needs less than one.
 */
const KEPT_GROWTHS = 2;

/** What a slot takes in the log at least: it is written in whole blocks. */
export const SLOT_BYTES = 4096;

export interface SnapshotEvents {
  /** All that is applied now; taking chunks must be possible while more is applied. */
  readonly image: () => Iterable<Uint8Array>;
  readonly snapshotTaken: (slot: Slot, bytes: number) => void;
  readonly snapshotAbandoned: (source: SnapshotSource, why: string) => void;
  /** The own snapshot cannot be read any more; nobody gets it, and a new one is taken soon. */
  readonly snapshotDamaged: (error: LogCorruption) => void;
  readonly failed: (error: unknown) => void;
}

export interface SnapshotsOptions {
  readonly policy: SnapshotPolicy;
  readonly chunkTimeoutMs: number;
  readonly log: LogStore;
  readonly peers: PeerTransport;
  readonly clock: Clock;
  readonly state: () => PaxosState | undefined;
  readonly saved: (input: Extract<PaxosInput, { kind: "snapshotSaved" }>) => void;
  readonly events: SnapshotEvents;
}

export class Snapshots {
  readonly #options: SnapshotsOptions;
  readonly #leases: SnapshotLeases;
  readonly #saves: SaveWatch;
  /** Chunks that are being read for each peer. */
  readonly #serving = new Map<NodeId, number>();
  #saving: "own" | SnapshotFetch | undefined;
  /** Saved, and not yet restored. */
  #fetched: SnapshotFetch | undefined;
  /** Of all that was applied; and of what had been when the last snapshot was taken. */
  #appliedBytes = 0;
  #coveredBytes = 0;
  #lastBytes = 0;
  #isDamaged = false;
  #stopped = false;

  constructor(options: SnapshotsOptions) {
    this.#options = options;
    this.#leases = new SnapshotLeases(options.log, options.clock);
    this.#saves = new SaveWatch(options.clock, () => {
      this.#fail(new LogFailure("the disk does not get on with a snapshot"));
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#leases.stop();
    this.#saves.stop();
    if (this.#saving instanceof SnapshotFetch) this.#saving.giveUp("the node stops");
  }

  applied({ value }: ChosenSlot): void {
    this.#appliedBytes += Math.max(SLOT_BYTES, value.length);
  }

  /** Passes on the chunks that are restored, and takes their size for that of the last snapshot. */
  *restoring(chunks: Iterable<Uint8Array>): Generator<Uint8Array> {
    const size = { bytes: 0 };
    yield* counted(chunks, size);
    this.#coveredBytes = this.#appliedBytes;
    this.#lastBytes = size.bytes;
  }

  /** One that was fetched counts until it is restored: the store would take an older one for overtaken. */
  get #isBusy(): boolean {
    return this.#saving !== undefined || this.#fetched !== undefined;
  }

  /** Between two inputs, so that the image is the one of a slot. */
  takeIfDue(): void {
    const state = this.#options.state();
    if (this.#isBusy || this.#stopped || state === undefined) return;
    if (state.chosenUpTo <= state.snapshotSlot) return;
    const isDue = this.#appliedBytes - this.#coveredBytes >= this.#growthOfOne;
    if (isDue || this.#isDamaged) void this.#take(state.chosenUpTo);
  }

  get #growthOfOne(): number {
    return Math.max(this.#options.policy.minGrowthBytes, this.#lastBytes);
  }

  async #take(slot: Slot): Promise<void> {
    const { events, log, saved } = this.#options;
    this.#saving = "own";
    this.#coveredBytes = this.#appliedBytes;
    const size = { bytes: 0 };
    try {
      await this.#saves.watch(counted(events.image(), size), (chunks) =>
        log.saveSnapshot(slot, chunks),
      );
      if (this.#stopped) return;
      this.#lastBytes = size.bytes;
      this.#isDamaged = false;
      events.snapshotTaken(slot, size.bytes);
      const keepAfter = this.#leases.keepAfter(
        this.#appliedBytes,
        KEPT_GROWTHS * this.#growthOfOne,
      );
      saved({ kind: "snapshotSaved", slot, origin: "own", keepAfter });
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#saving = undefined;
    }
  }

  /** Where one is on its way already it goes on, whatever newer one there is: its sender keeps it. */
  fetch(source: SnapshotSource): void {
    if (!this.#isBusy && !this.#stopped) void this.#fetch(source);
  }

  async #fetch(source: SnapshotSource): Promise<void> {
    const { log, saved, events, peers, clock, chunkTimeoutMs, state } = this.#options;
    const fetch = new SnapshotFetch({
      ...source,
      ...{ clock, chunkTimeoutMs },
      ask: (request) => {
        peers.send(source.peer, request);
      },
      isMoot: () => (state()?.chosenUpTo ?? 0) >= source.slot,
    });
    this.#saving = fetch;
    try {
      await this.#saves.watch(fetch.chunks(), (chunks) => log.saveSnapshot(source.slot, chunks));
      if (this.#stopped) return;
      this.#fetched = fetch;
      saved({ kind: "snapshotSaved", ...source, origin: "peer" });
    } catch (error) {
      if (!(error instanceof SnapshotAbandoned)) this.#fail(error);
      else if (!this.#stopped) events.snapshotAbandoned(source, error.message);
    } finally {
      this.#saving = undefined;
    }
  }

  /** The chunks of the one that was saved last, once: whether they are wanted or not, they are let go. */
  takeFetched(): readonly Uint8Array[] {
    const chunks = this.#fetched?.received ?? [];
    this.#fetched = undefined;
    return chunks;
  }

  receive(from: NodeId, message: SnapshotTransfer): void {
    if (this.#stopped) return;
    if (message.kind === "snapshotRequest") {
      this.#serve(from, message.slot, message.chunk);
      return;
    }
    if (!(this.#saving instanceof SnapshotFetch)) return;
    const { source } = this.#saving;
    if (source.peer !== from || source.slot !== message.slot) return;
    if (message.kind === "snapshotChunk") this.#saving.receive(message);
    else this.#saving.giveUp("its sender has it no more");
  }

  /** A few chunks at a time for each peer: whoever asks for more at once asks again. */
  #serve(peer: NodeId, slot: Slot, chunk: number): void {
    const reading = this.#serving.get(peer) ?? 0;
    if (reading >= FETCH_LIMITS.chunksUnderWay) return;
    if (this.#leases.use(peer, slot, this.#appliedBytes)) {
      this.#serving.set(peer, reading + 1);
      void this.#read(peer, slot, chunk);
    } else if ((this.#options.state()?.snapshotSlot ?? 0) > slot) {
      this.#options.peers.send(peer, { kind: "snapshotGone", slot });
    }
  }

  async #read(peer: NodeId, slot: Slot, chunk: number): Promise<void> {
    const { log, peers, events } = this.#options;
    try {
      const found = await log.readSnapshotChunk(slot, chunk);
      if (this.#stopped || found === undefined) return;
      peers.send(peer, { kind: "snapshotChunk", slot, chunk, ...found });
    } catch (error) {
      if (!(error instanceof LogCorruption)) this.#fail(error);
      else if (!this.#isDamaged) {
        this.#isDamaged = true;
        events.snapshotDamaged(error);
      }
    } finally {
      this.#serving.set(peer, (this.#serving.get(peer) ?? 1) - 1);
    }
  }

  #fail(error: unknown): void {
    if (!this.#stopped) this.#options.events.failed(error);
  }
}

function* counted(chunks: Iterable<Uint8Array>, size: { bytes: number }): Generator<Uint8Array> {
  for (const chunk of chunks) {
    size.bytes += chunk.length;
    yield chunk;
  }
}
