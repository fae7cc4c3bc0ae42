/** A node's log with the simulator's finger in between: the process may end before an append, or right after its end. */
import {
  LogCorruption,
  type LogContents,
  type LogStore,
  type SnapshotChunk,
} from "../../../coordinator/log/log-store.ts";
import type { DurableRecord } from "../../../coordinator/paxos/record.ts";
import type { Slot } from "../../../shared/model/ids.ts";
import type { Incarnation } from "./incarnation.ts";

const never = (): Promise<never> => new Promise(() => undefined);

export interface LogFaults {
  /** Says that records are durable when they are not yet. */
  readonly toldBeforeDurable: boolean;
  /** Whether the chunk that is read now turns out to be damaged. */
  readonly damages: () => boolean;
  readonly onDurable: (records: readonly DurableRecord[]) => void;
}

export class FaultyLog implements LogStore {
  readonly #log: LogStore;
  readonly #incarnation: Incarnation;
  readonly #faults: LogFaults;

  constructor(log: LogStore, incarnation: Incarnation, faults: LogFaults) {
    this.#log = log;
    this.#incarnation = incarnation;
    this.#faults = faults;
  }

  async open(): Promise<LogContents> {
    const contents = await this.#log.open();
    this.#faults.onDurable(contents.records);
    return contents;
  }

  async append(records: readonly DurableRecord[]): Promise<void> {
    this.#incarnation.effect("before an append");
    if (!this.#incarnation.alive) return never();
    const appended = this.#log.append(records).then(() => {
      this.#faults.onDurable(records);
    });
    if (this.#faults.toldBeforeDurable) appended.catch(() => undefined);
    else await appended;
    this.#incarnation.effect("after an append");
    if (this.#died()) return never();
  }

  async saveSnapshot(
    slot: Slot,
    chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  ): Promise<void> {
    this.#incarnation.effect("before a snapshot");
    if (!this.#incarnation.alive) return never();
    await this.#log.saveSnapshot(slot, chunks);
    this.#incarnation.effect("after a snapshot");
    if (this.#died()) return never();
  }

  keepSnapshots(slots: ReadonlySet<Slot>): ReadonlySet<Slot> {
    return this.#log.keepSnapshots(slots);
  }

  readSnapshotChunk(slot: Slot, index: number): Promise<SnapshotChunk | undefined> {
    if (!this.#faults.damages()) return this.#log.readSnapshotChunk(slot, index);
    return Promise.reject(new LogCorruption(`snapshot ${slot}`, 0, "A damaged chunk"));
  }

  /** Asked anew: an effect may have ended it. */
  #died(): boolean {
    return !this.#incarnation.alive;
  }

  close(): Promise<void> {
    return this.#log.close();
  }
}
