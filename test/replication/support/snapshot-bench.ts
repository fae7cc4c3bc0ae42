/** The part that carries snapshots, over the log's twin and a clock in the test's hand; the core's moves are the test's. */
import type { LogCorruption, LogStore } from "../../../coordinator/log/log-store.ts";
import { MemoryDisk } from "../../../coordinator/log/memory-disk.ts";
import { MemoryLog } from "../../../coordinator/log/memory-log.ts";
import type { PeerMessage } from "../../../coordinator/paxos/message.ts";
import { recover } from "../../../coordinator/paxos/recover.ts";
import type { PaxosInput, PaxosState } from "../../../coordinator/paxos/state.ts";
import { SLOT_BYTES, Snapshots } from "../../../coordinator/replication/snapshots.ts";
import { nodeId, slot, ZERO_BALLOT, type NodeId } from "../../../shared/model/ids.ts";
import { configOf, value } from "../../paxos/support/group.ts";
import { ManualClock } from "../../transactions/support/manual-clock.ts";

export const PEER = nodeId(2);
export const OTHER = nodeId(3);
export const TIMEOUT_MS = 100;
export const bytes = (...of: readonly number[]): Uint8Array => Uint8Array.from(of);

interface Sent {
  readonly to: NodeId;
  readonly message: PeerMessage;
}

export class SnapshotBench {
  readonly clock = new ManualClock();
  readonly log: MemoryLog;
  readonly sent: Sent[] = [];
  readonly saved: PaxosInput[] = [];
  readonly abandoned: string[] = [];
  readonly damaged: LogCorruption[] = [];
  readonly failures: unknown[] = [];
  readonly taken: number[] = [];
  readonly snapshots: Snapshots;
  image: readonly Uint8Array[] = [bytes(1), bytes(2)];
  state: PaxosState = recover(configOf(1, 3), []).state;
  writes: number | "fail" = 0;

  constructor(minGrowthSlots = 2, around: (log: LogStore) => LogStore = (log) => log) {
    const { clock } = this;
    const disk = new MemoryDisk("disk");
    this.log = new MemoryLog({ disk, clock, nextAppend: () => this.writes });
    this.snapshots = new Snapshots({
      policy: { minGrowthBytes: minGrowthSlots * SLOT_BYTES },
      chunkTimeoutMs: TIMEOUT_MS,
      log: around(this.log),
      clock,
      peers: {
        send: (to, message) => this.sent.push({ to, message }),
        onMessage: () => undefined,
        onPeerLost: () => undefined,
      },
      state: () => this.state,
      saved: (input) => this.saved.push(input),
      events: {
        image: () => this.image,
        snapshotTaken: (at) => this.taken.push(at),
        snapshotAbandoned: (_, why) => this.abandoned.push(why),
        snapshotDamaged: (error) => this.damaged.push(error),
        failed: (error) => this.failures.push(error),
      },
    });
  }

  static async open(...of: ConstructorParameters<typeof SnapshotBench>): Promise<SnapshotBench> {
    const bench = new SnapshotBench(...of);
    await bench.log.open();
    return bench;
  }

  /** Everything that needs no time happens. */
  async settle(): Promise<void> {
    for (let round = 0; round < 20; round += 1) {
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
      this.clock.pass(0);
    }
  }

  async apply(slots: number): Promise<void> {
    for (let count = 0; count < slots; count += 1) {
      const at = slot(this.state.chosenUpTo + 1);
      this.state = { ...this.state, chosenUpTo: at };
      this.snapshots.applied({ slot: at, value: value("small") });
    }
    this.snapshots.takeIfDue();
    await this.settle();
  }

  /** What the core would do with it. */
  async count(at: number): Promise<void> {
    this.state = { ...this.state, snapshotSlot: slot(at) };
    const record = { slot: slot(at), truncatedUpTo: slot(at), promised: ZERO_BALLOT };
    const appended = this.log.append([{ kind: "snapshot", ...record }]);
    await this.settle();
    await appended;
  }

  async ask(from: NodeId, at: number, chunk: number): Promise<readonly PeerMessage[]> {
    this.snapshots.receive(from, { kind: "snapshotRequest", slot: slot(at), chunk });
    await this.settle();
    return this.sent.splice(0).map(({ message }) => message);
  }

  fetch(at: number, peer = PEER): void {
    this.snapshots.fetch({ peer, slot: slot(at) });
  }

  async chunk(
    at: number,
    chunk: number,
    of: Uint8Array,
    wholeCrc: number | null = null,
    from = PEER,
  ): Promise<void> {
    this.snapshots.receive(from, {
      kind: "snapshotChunk",
      slot: slot(at),
      chunk,
      bytes: of,
      wholeCrc,
    });
    await this.settle();
  }

  /** The chunks that were asked for since the last look. */
  asked(): readonly number[] {
    return this.sent.splice(0).flatMap(({ message }) => {
      return message.kind === "snapshotRequest" ? [message.chunk] : [];
    });
  }
}

export const own = (at: number): PaxosInput => ({
  kind: "snapshotSaved",
  slot: slot(at),
  origin: "own",
});
export const peers = (at: number): PaxosInput => ({
  kind: "snapshotSaved",
  slot: slot(at),
  origin: "peer",
  peer: PEER,
});
