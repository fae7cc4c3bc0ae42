/**
 * Carries the snapshots that the core speaks of: takes own ones by policy, serves them to peers, fetches a peer's.
 *
 *   log has grown ──▶ image of what is applied ──┐
 *                                                ├──▶ store ──▶ core: snapshotSaved ──▶ record ──▶ (the store truncates)
 *   core: fetch ──▶ chunks from the peer ────────┘                        └──▶ a peer's is restored
 *
 * One snapshot is saved at a time. What cannot be fetched is given up: as long as the node is behind, the core asks one peer
 * after the other, and whoever offers a snapshot next is the next source.
 */
import type { NodeId, Slot } from "../../shared/model/ids.ts";
import type { Clock } from "../../shared/model/ports.ts";
import { LogCorruption, SnapshotAbandoned, type LogStore } from "../log/log-store.ts";
import type { ChosenSlot, SnapshotTransfer } from "../paxos/message.ts";
import type { PaxosInput, PaxosState, SnapshotSource } from "../paxos/state.ts";
import type { PeerTransport } from "../transport/peer-transport.ts";
import { SnapshotFetch } from "./snapshot-fetch.ts";

export interface SnapshotPolicy {
  /**
   * A snapshot is due when the log has grown by so much since the last one, and by as much as that one is large: so writing
   * snapshots never costs more than writing the log. Infinity: never.
   */
  readonly minGrowthBytes: number;
}

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
  readonly #serving = new Set<NodeId>();
  #saving: "own" | SnapshotFetch | undefined;
  /** Saved, and not yet restored. */
  #fetched: SnapshotFetch | undefined;
  #growthBytes = 0;
  #lastBytes = 0;
  #isDamaged = false;
  #stopped = false;

  constructor(options: SnapshotsOptions) {
    this.#options = options;
  }

  stop(): void {
    this.#stopped = true;
    if (this.#saving instanceof SnapshotFetch) this.#saving.giveUp("the node stops");
  }

  applied({ value }: ChosenSlot): void {
    this.#growthBytes += Math.max(SLOT_BYTES, value.length);
  }

  /** Passes on the chunks that are restored, and takes their size for that of the last snapshot. */
  *restoring(chunks: Iterable<Uint8Array>): Generator<Uint8Array> {
    const size = { bytes: 0 };
    yield* counted(chunks, size);
    this.#growthBytes = 0;
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
    const { minGrowthBytes } = this.#options.policy;
    const isDue = this.#growthBytes >= Math.max(minGrowthBytes, this.#lastBytes);
    if (isDue || this.#isDamaged) void this.#take(state.chosenUpTo);
  }

  async #take(slot: Slot): Promise<void> {
    const { events, log, saved } = this.#options;
    this.#saving = "own";
    this.#growthBytes = 0;
    const size = { bytes: 0 };
    try {
      await log.saveSnapshot(slot, counted(events.image(), size));
      if (this.#stopped) return;
      this.#lastBytes = size.bytes;
      this.#isDamaged = false;
      events.snapshotTaken(slot, size.bytes);
      saved({ kind: "snapshotSaved", slot, origin: "own" });
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#saving = undefined;
    }
  }

  /** Where one is on its way already, only its sender can say that a newer one has taken its place. */
  fetch(source: SnapshotSource): void {
    const { slot, peer } = source;
    if (!this.#isBusy && !this.#stopped) void this.#fetch(source);
    if (!(this.#saving instanceof SnapshotFetch)) return;
    const { source: present } = this.#saving;
    if (present.peer === peer && present.slot < slot) this.#saving.giveUp("there is a newer one");
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
      await log.saveSnapshot(source.slot, fetch.chunks());
      if (this.#stopped) return;
      this.#fetched = fetch;
      saved({ kind: "snapshotSaved", slot: source.slot, origin: "peer" });
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
    if (message.kind === "snapshotRequest") void this.#serve(from, message.slot, message.chunk);
    else if (this.#saving instanceof SnapshotFetch && this.#saving.source.peer === from) {
      this.#saving.receive(message);
    }
  }

  /** One chunk at a time for each peer: whoever asks for more at once asks again. */
  async #serve(peer: NodeId, slot: Slot, chunk: number): Promise<void> {
    const { log, peers, state, events } = this.#options;
    if (this.#serving.has(peer)) return;
    this.#serving.add(peer);
    try {
      const found = await log.readSnapshotChunk(slot, chunk);
      const present = state();
      if (this.#stopped || present === undefined) return;
      const { snapshotSlot, chosenUpTo } = present;
      if (found !== undefined) {
        peers.send(peer, { kind: "snapshotChunk", slot, chunk, ...found });
      } else if (snapshotSlot > slot) {
        peers.send(peer, { kind: "snapshotOffer", slot: snapshotSlot, chosenUpTo });
      }
    } catch (error) {
      if (!(error instanceof LogCorruption)) this.#fail(error);
      else if (!this.#isDamaged) {
        this.#isDamaged = true;
        events.snapshotDamaged(error);
      }
    } finally {
      this.#serving.delete(peer);
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
