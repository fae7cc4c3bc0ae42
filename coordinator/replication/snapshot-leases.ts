/**
 * Which snapshots peers read here. A peer that has begun gets to the end: its snapshot stays in the store although newer ones
 * count, and the log behind it stays as well, so that the peer can go on from there. Both end when the peer has been silent for a
 * while, and the log's part also when it has grown beyond a bound: then the transfer was too slow for what is chosen here meanwhile.
 */
import type { NodeId, Slot } from "../../shared/model/ids.ts";
import type { Cancel, Clock } from "../../shared/model/ports.ts";
import type { LogStore } from "../log/log-store.ts";

/** Longer than a fetch may wait for a chunk, with time to catch up with what was chosen during the transfer. */
export const LEASE_SILENCE_MS = 30_000;

interface Lease {
  readonly slot: Slot;
  /** How much had been applied here, in bytes, when it began. */
  readonly appliedBytes: number;
  readonly usedAtMs: number;
}

export class SnapshotLeases {
  readonly #log: LogStore;
  readonly #clock: Clock;
  /** At most one for each member of the group. */
  readonly #byPeer = new Map<NodeId, Lease>();
  #cancel: Cancel | undefined;

  constructor(log: LogStore, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  /** False when that snapshot cannot be read here. */
  use(peer: NodeId, slot: Slot, appliedBytes: number): boolean {
    const known = this.#byPeer.get(peer);
    const isNew = known?.slot !== slot;
    const lease = {
      slot,
      appliedBytes,
      ...(isNew ? {} : known),
      usedAtMs: this.#clock.monotonicMs(),
    };
    this.#byPeer.set(peer, lease);
    if (isNew && !this.#keep().has(slot)) {
      this.#byPeer.delete(peer);
      return false;
    }
    this.#cancel ??= this.#clock.after(LEASE_SILENCE_MS, () => {
      this.#endSilent();
    });
    return true;
  }

  /** The log behind this slot is still wanted; undefined when no more than usual is. */
  keepAfter(appliedBytes: number, maxBytes: number): Slot | undefined {
    const wanted = [...this.#byPeer.values()].filter(
      (lease) => appliedBytes - lease.appliedBytes <= maxBytes,
    );
    const slots = wanted.map(({ slot }) => slot);
    return slots.length === 0 ? undefined : (Math.min(...slots) as Slot);
  }

  stop(): void {
    this.#cancel?.();
  }

  #keep(): ReadonlySet<Slot> {
    return this.#log.keepSnapshots(new Set([...this.#byPeer.values()].map(({ slot }) => slot)));
  }

  #endSilent(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const [peer, { usedAtMs }] of this.#byPeer) {
      if (nowMs - usedAtMs >= LEASE_SILENCE_MS) this.#byPeer.delete(peer);
    }
    this.#keep();
    this.#cancel = undefined;
    const oldestMs = Math.min(...[...this.#byPeer.values()].map(({ usedAtMs }) => usedAtMs));
    if (oldestMs === Infinity) return;
    this.#cancel = this.#clock.after(oldestMs + LEASE_SILENCE_MS - nowMs, () => {
      this.#endSilent();
    });
  }
}
