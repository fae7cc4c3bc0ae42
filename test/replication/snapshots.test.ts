/** Own snapshots by policy, a peer's chunk by chunk, and what is served: over the log's twin and a clock in the test's hand. */
import { LogCorruption, type LogStore } from "../../coordinator/log/log-store.ts";
import { MemoryDisk } from "../../coordinator/log/memory-disk.ts";
import { MemoryLog } from "../../coordinator/log/memory-log.ts";
import { checksum } from "../../coordinator/log/snapshot-chunks.ts";
import type { PeerMessage } from "../../coordinator/paxos/message.ts";
import { recover } from "../../coordinator/paxos/recover.ts";
import type { PaxosInput, PaxosState } from "../../coordinator/paxos/state.ts";
import { SLOT_BYTES, Snapshots } from "../../coordinator/replication/snapshots.ts";
import { nodeId, slot, ZERO_BALLOT, type NodeId, type Slot } from "../../shared/model/ids.ts";
import { configOf, value } from "../paxos/support/group.ts";
import { ManualClock } from "../transactions/support/manual-clock.ts";

const PEER = nodeId(2);
const OTHER = nodeId(3);
const TIMEOUT_MS = 100;
const bytes = (...of: readonly number[]): Uint8Array => Uint8Array.from(of);

interface Sent {
  readonly to: NodeId;
  readonly message: PeerMessage;
}

class Bench {
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

  static async open(...of: ConstructorParameters<typeof Bench>): Promise<Bench> {
    const bench = new Bench(...of);
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

const own = (at: number): PaxosInput => ({ kind: "snapshotSaved", slot: slot(at), origin: "own" });
const peers = (at: number): PaxosInput => ({
  kind: "snapshotSaved",
  slot: slot(at),
  origin: "peer",
});

describe("own snapshots", () => {
  test("are taken when the log has grown by as much as the policy says, not sooner", async () => {
    const bench = await Bench.open(3);
    await bench.apply(2);
    expect(bench.saved).toEqual([]);
    await bench.apply(1);
    expect(bench.saved).toEqual([own(3)]);
    await bench.count(3);
    await bench.apply(2);
    expect(bench.taken).toEqual([3]);
    await bench.apply(1);
    expect(bench.saved).toEqual([own(3), own(6)]);
  });

  test("wait until the log has grown by the size of the last one, so that they cost no more than the log", async () => {
    const bench = await Bench.open(1);
    bench.image = [new Uint8Array(3 * SLOT_BYTES)];
    await bench.apply(1);
    await bench.count(1);
    await bench.apply(2);
    expect(bench.taken).toEqual([1]);
    await bench.apply(1);
    expect(bench.taken).toEqual([1, 4]);
  });

  test("go by the size of the one that was restored, too", async () => {
    const bench = await Bench.open(1);
    expect([...bench.snapshots.restoring([new Uint8Array(2 * SLOT_BYTES)])]).toHaveLength(1);
    await bench.apply(1);
    expect(bench.taken).toEqual([]);
    await bench.apply(1);
    expect(bench.taken).toEqual([2]);
  });

  test("count large values for what they are", async () => {
    const bench = await Bench.open(10);
    bench.state = { ...bench.state, chosenUpTo: slot(1) };
    bench.snapshots.applied({ slot: slot(1), value: new Uint8Array(10 * SLOT_BYTES) });
    bench.snapshots.takeIfDue();
    await bench.settle();
    expect(bench.taken).toEqual([1]);
  });

  test("are never taken where the policy says never", async () => {
    const bench = await Bench.open(Infinity);
    await bench.apply(1_000);
    expect(bench.taken).toEqual([]);
  });

  test("are images of the slot at which they were begun, one at a time", async () => {
    const bench = await Bench.open(1);
    bench.writes = 50;
    await bench.apply(1);
    bench.image = [bytes(9)];
    await bench.apply(5);
    bench.clock.pass(50);
    await bench.settle();
    bench.clock.pass(50);
    await bench.settle();
    bench.clock.pass(50);
    await bench.settle();
    bench.writes = 0;
    expect(bench.saved).toEqual([own(1)]);
    await bench.count(1);
    expect(await bench.ask(PEER, 1, 0)).toMatchObject([{ bytes: bytes(1), wholeCrc: null }]);
  });

  test("that the disk does not take stop the node", async () => {
    const bench = await Bench.open(1);
    bench.writes = "fail";
    await bench.apply(1);
    expect(bench.failures).toHaveLength(1);
    expect(bench.saved).toEqual([]);
  });

  test("say nothing once the node has stopped", async () => {
    const bench = await Bench.open(1);
    bench.writes = 10;
    await bench.apply(1);
    bench.snapshots.stop();
    for (let count = 0; count < 3; count += 1) {
      bench.clock.pass(10);
      await bench.settle();
    }
    expect([bench.saved, bench.taken, bench.failures]).toEqual([[], [], []]);
  });
});

describe("serving", () => {
  test("hands out chunk by chunk, the last with the checksum of the whole", async () => {
    const bench = await Bench.open(1);
    await bench.apply(1);
    await bench.count(1);
    const wholeCrc = checksum(bytes(1, 2));
    const chunk = { kind: "snapshotChunk", slot: 1 };
    expect(await bench.ask(PEER, 1, 0)).toEqual([
      { ...chunk, chunk: 0, bytes: bytes(1), wholeCrc: null },
    ]);
    expect(await bench.ask(PEER, 1, 1)).toEqual([
      { ...chunk, chunk: 1, bytes: bytes(2), wholeCrc },
    ]);
    expect(await bench.ask(PEER, 1, 2)).toEqual([]);
  });

  test("offers the newer one where the one asked for is gone", async () => {
    const bench = await Bench.open(1);
    await bench.apply(4);
    await bench.count(4);
    expect(await bench.ask(PEER, 2, 0)).toEqual([
      { kind: "snapshotOffer", slot: 4, chosenUpTo: 4 },
    ]);
    expect(await bench.ask(PEER, 5, 0)).toEqual([]);
  });

  test("reads one chunk at a time for each peer", async () => {
    const bench = await Bench.open(1);
    await bench.apply(1);
    await bench.count(1);
    const request = { kind: "snapshotRequest", slot: slot(1), chunk: 0 } as const;
    bench.snapshots.receive(PEER, request);
    bench.snapshots.receive(PEER, { ...request, chunk: 1 });
    bench.snapshots.receive(OTHER, request);
    await bench.settle();
    const answers = bench.sent.map(({ to, message }) => [to, "chunk" in message && message.chunk]);
    expect(answers).toEqual([
      [PEER, 0],
      [OTHER, 0],
    ]);
  });

  test("damaged bytes do not leave the node, and a new snapshot takes their place", async () => {
    const damaged = (log: LogStore): LogStore => ({
      open: () => log.open(),
      append: (records) => log.append(records),
      saveSnapshot: (at, chunks) => log.saveSnapshot(at, chunks),
      readSnapshotChunk: () => Promise.reject(new LogCorruption("snapshot", 7, "A bad checksum")),
      close: () => log.close(),
    });
    const bench = await Bench.open(100, damaged);
    await bench.apply(100);
    await bench.count(100);
    expect(await bench.ask(PEER, 100, 0)).toEqual([]);
    expect(await bench.ask(PEER, 100, 0)).toEqual([]);
    expect(bench.damaged).toHaveLength(1);
    expect(bench.taken).toEqual([100]);
    await bench.apply(1);
    expect(bench.taken).toEqual([100, 101]);
    expect(bench.failures).toEqual([]);
  });
});

describe("fetching", () => {
  test("asks for one chunk after the other, and hands over what came when all is saved", async () => {
    const bench = await Bench.open();
    bench.fetch(7);
    await bench.settle();
    expect(bench.asked()).toEqual([0]);
    await bench.chunk(7, 0, bytes(1, 2));
    expect(bench.asked()).toEqual([1]);
    expect(bench.saved).toEqual([]);
    await bench.chunk(7, 1, bytes(3), checksum(bytes(1, 2, 3)));
    expect(bench.saved).toEqual([peers(7)]);
    expect(bench.snapshots.takeFetched()).toEqual([bytes(1, 2), bytes(3)]);
    expect(bench.snapshots.takeFetched()).toEqual([]);
    await bench.count(7);
    expect(await bench.ask(OTHER, 7, 0)).toMatchObject([{ bytes: bytes(1, 2) }]);
  });

  test("takes no chunk of another peer, slot or place, and none that is empty or too large", async () => {
    const bench = await Bench.open();
    bench.fetch(7);
    await bench.settle();
    await bench.chunk(7, 0, bytes(1), null, OTHER);
    await bench.chunk(8, 0, bytes(1));
    await bench.chunk(7, 1, bytes(1));
    await bench.chunk(7, 0, bytes());
    await bench.chunk(7, 0, new Uint8Array(64 * 1024 + 1));
    expect(bench.asked()).toEqual([0]);
    await bench.chunk(7, 0, bytes(1));
    await bench.chunk(7, 0, bytes(1));
    expect(bench.asked()).toEqual([1]);
  });

  test("a snapshot whose checksum is another is not saved", async () => {
    const bench = await Bench.open();
    bench.fetch(7);
    await bench.settle();
    await bench.chunk(7, 0, bytes(1), checksum(bytes(2)));
    expect(bench.saved).toEqual([]);
    expect(bench.abandoned).toEqual([expect.stringContaining("checksum")]);
    bench.fetch(7);
    await bench.settle();
    await bench.chunk(7, 0, bytes(2), checksum(bytes(2)));
    expect(bench.saved).toEqual([peers(7)]);
  });

  test("a chunk that does not come is asked for again, a few times, and then the next peer has its turn", async () => {
    const bench = await Bench.open();
    bench.fetch(7);
    await bench.settle();
    for (let tries = 0; tries < 10; tries += 1) {
      bench.clock.pass(TIMEOUT_MS);
      await bench.settle();
    }
    expect(bench.asked()).toEqual([0, 0, 0, 0, 0]);
    expect(bench.abandoned).toEqual([expect.stringContaining("does not come")]);
    bench.fetch(6, OTHER);
    await bench.settle();
    expect(bench.sent.map(({ to }) => to)).toEqual([OTHER]);
  });

  test("another peer's offer changes nothing, the same peer's newer one ends the transfer", async () => {
    const bench = await Bench.open();
    bench.fetch(7);
    bench.fetch(9, OTHER);
    bench.fetch(7);
    await bench.settle();
    expect(bench.asked()).toEqual([0]);
    bench.fetch(8);
    await bench.settle();
    expect(bench.abandoned).toEqual([expect.stringContaining("newer")]);
    bench.fetch(8);
    await bench.settle();
    expect(bench.sent).toMatchObject([{ to: PEER, message: { slot: 8 } }]);
  });

  test("ends when the node has come as far by itself", async () => {
    const bench = await Bench.open();
    bench.fetch(7);
    await bench.settle();
    bench.state = { ...bench.state, chosenUpTo: slot(7) as Slot };
    await bench.chunk(7, 0, bytes(1));
    expect(bench.asked()).toEqual([0]);
    expect(bench.abandoned).toEqual([expect.stringContaining("not needed")]);
  });

  test("waits for an own snapshot that is being written, and keeps off the next one", async () => {
    const bench = await Bench.open(1);
    bench.writes = 10;
    await bench.apply(1);
    bench.fetch(7);
    expect(bench.asked()).toEqual([]);
    bench.writes = 0;
    for (let count = 0; count < 3; count += 1) {
      bench.clock.pass(10);
      await bench.settle();
    }
    expect(bench.taken).toEqual([1]);
    bench.fetch(7);
    await bench.apply(5);
    expect(bench.asked()).toEqual([0]);
    expect(bench.taken).toEqual([1]);
  });

  test("ends with the node", async () => {
    const bench = await Bench.open();
    bench.fetch(7);
    await bench.settle();
    bench.snapshots.stop();
    await bench.settle();
    expect([bench.abandoned, bench.failures, bench.clock.pending]).toEqual([[], [], 0]);
    bench.fetch(7);
    expect(bench.asked()).toEqual([0]);
  });
});
