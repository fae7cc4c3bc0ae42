/** What outlives a process that has a MemoryLog. One per node; a new MemoryLog on the same disk is the node after its restart. */
import { ZERO_SLOT, type Slot } from "../../shared/model/ids.ts";
import type { DurableRecord, SnapshotRecord } from "../paxos/record.ts";
import {
  LogCorruption,
  type LogIdentity,
  type LogStore,
  type StoredSnapshot,
} from "./log-store.ts";
import { standsFor } from "./truncation.ts";

export class MemoryDisk {
  readonly storageId: string;
  #records: DurableRecord[] = [];
  #counting: SnapshotRecord | undefined;
  /** Those that are durable under their names, whether they count or not. */
  readonly snapshots = new Map<Slot, readonly Uint8Array[]>();
  /** Those that stay although a later one counts, as long as the process lives. */
  #kept: ReadonlySet<Slot> = new Set();
  wasOpened = false;
  identity: LogIdentity | undefined;
  owner: LogStore | undefined;

  constructor(storageId: string) {
    this.storageId = storageId;
  }

  get records(): readonly DurableRecord[] {
    return this.#records;
  }

  /** The last record of its kind. */
  get counting(): SnapshotRecord | undefined {
    return this.#counting;
  }

  /** They are durable now. */
  keep(records: readonly DurableRecord[]): void {
    for (const record of records) {
      if (record.kind === "snapshot") this.#count(record);
      this.#records.push(record);
    }
  }

  #count(record: SnapshotRecord): void {
    this.#counting = record;
    this.truncate(record);
    this.#removeOlder();
  }

  #removeOlder(): void {
    const counting = this.#counting?.slot ?? ZERO_SLOT;
    for (const slot of this.snapshots.keys()) {
      if (slot < counting && !this.#kept.has(slot)) this.snapshots.delete(slot);
    }
  }

  keepSnapshots(slots: ReadonlySet<Slot>): ReadonlySet<Slot> {
    this.#kept = new Set([...slots].filter((slot) => this.snapshot(slot) !== undefined));
    this.#removeOlder();
    return this.#kept;
  }

  /** One that counts or is kept. */
  snapshot(slot: Slot): readonly Uint8Array[] | undefined {
    const isReadable = this.#counting?.slot === slot || this.#kept.has(slot);
    return isReadable ? this.snapshots.get(slot) : undefined;
  }

  /** Removes what the record, which comes next, stands for. */
  truncate(by: SnapshotRecord): void {
    this.#records = this.#records.filter((record) => !standsFor(by, record));
  }

  /** The snapshot that counts, and no other is left. */
  recoverSnapshot(): StoredSnapshot | undefined {
    const slot = this.#counting?.slot;
    this.#kept = new Set();
    for (const other of this.snapshots.keys()) if (other !== slot) this.snapshots.delete(other);
    if (slot === undefined) return undefined;
    const chunks = this.snapshots.get(slot);
    if (chunks === undefined) throw new LogCorruption(`snapshot ${slot}`, 0, "A missing snapshot");
    return { slot, chunks: () => chunks.map((chunk) => chunk.slice()) };
  }
}
