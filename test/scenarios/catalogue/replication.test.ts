/** Rows of ../CATALOGUE.md about the hand between core and IO (coordinator/replication). */
import { MemoryDisk } from "../../../coordinator/log/memory-disk.ts";
import { MemoryLog } from "../../../coordinator/log/memory-log.ts";
import type { PaxosMessage, PeerMessage } from "../../../coordinator/paxos/message.ts";
import type { Leader } from "../../../coordinator/paxos/state.ts";
import { DurableOutbox } from "../../../coordinator/replication/durable-outbox.ts";
import { LeadershipProof } from "../../../coordinator/replication/leadership-proof.ts";
import { Replica } from "../../../coordinator/replication/replica.ts";
import type { EncodedCommand } from "../../../coordinator/transactions/command.ts";
import { ballot, nodeId, slot, type NodeId } from "../../../shared/model/ids.ts";
import { configOf } from "../../paxos/support/group.ts";
import { acceptedRange } from "../../log/records.ts";
import { ManualClock } from "../../transactions/support/manual-clock.ts";

const COMMAND = '{"kind":"complete","carrierIds":[],"atMs":0}' as EncodedCommand;

/** Lets everything happen that needs no time. */
async function settle(clock: ManualClock): Promise<void> {
  for (let round = 0; round < 20; round += 1) {
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    clock.pass(0);
  }
}

/** One replica of a group, whose peers the test plays. */
class Bench {
  readonly clock = new ManualClock();
  readonly applied: number[] = [];
  readonly failures: unknown[] = [];
  readonly sent: { readonly to: NodeId; readonly message: PeerMessage }[] = [];
  writes: number | "hang" = 0;
  hear: (from: NodeId, message: PaxosMessage) => void = () => undefined;
  readonly replica: Replica;

  constructor(size: number) {
    const { clock } = this;
    this.replica = new Replica({
      config: configOf(1, size),
      tickIntervalMs: 10,
      snapshots: { minGrowthBytes: Infinity },
      log: new MemoryLog({
        disk: new MemoryDisk("disk"),
        clock,
        nextAppend: () => this.writes,
      }),
      peers: {
        send: (to, message) => this.sent.push({ to, message }),
        onMessage: (hear) => {
          this.hear = hear;
        },
        onPeerLost: () => undefined,
      },
      clock,
      random: { integer: () => 0 } as never,
      events: {
        apply: (chosen) => this.applied.push(chosen.slot),
        restore: () => undefined,
        leads: () => undefined,
        stoppedLeading: () => undefined,
        image: () => [],
        snapshotTaken: () => undefined,
        snapshotAbandoned: () => undefined,
        snapshotDamaged: () => undefined,
        failed: (error) => this.failures.push(error),
      },
    });
  }

  get role(): string | undefined {
    return this.replica.state?.role.kind;
  }

  /** Time passes; node 2 grants, promises and answers whatever is asked, and votes for nothing. */
  async run(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 10) {
      this.clock.pass(10);
      await settle(this.clock);
      await this.answer();
    }
    expect(this.failures).toEqual([]);
  }

  /** Node 2 says what it must to all that was sent. */
  async answer(): Promise<void> {
    for (const { to, message } of this.sent.splice(0)) {
      const reply = to === 2 ? replyTo(message) : undefined;
      if (reply !== undefined) this.hear(nodeId(2), reply);
    }
    await settle(this.clock);
  }

  async led(): Promise<void> {
    await this.replica.start();
    await this.run(200);
    expect(this.role).toBe("leader");
  }
}

function replyTo(message: PeerMessage): PaxosMessage | undefined {
  if (message.kind === "probe") {
    const { attempt } = message;
    return { kind: "probeReply", attempt, granted: true, promised: ballot(1, nodeId(2)) };
  }
  if (message.kind === "phase1a") {
    const nothing = { slots: [], nextSlot: null, truncatedUpTo: slot(0) };
    return { kind: "phase1b", ballot: message.ballot, fromSlot: message.fromSlot, ...nothing };
  }
  if (message.kind !== "heartbeat") return undefined;
  return { kind: "heartbeatReply", ballot: message.ballot, beat: message.beat };
}

test("#1 a group of one acknowledges nothing before its own log has it (etcd#14370)", async () => {
  const bench = new Bench(1);
  await bench.led();
  bench.writes = 50;
  const { promised } = bench.replica.state!;
  expect(bench.replica.submit(COMMAND, promised)).toBe(true);
  await bench.run(40);
  expect(bench.applied).toEqual([]);
  await bench.run(20);
  expect(bench.applied).toEqual([1]);
});

test("#8 a leader whose log hangs hands over, though it is heard and answered (hashicorp/raft#503, consul#22064)", async () => {
  const bench = new Bench(3);
  await bench.led();
  await bench.run(500);
  expect(bench.role).toBe("leader");
  bench.writes = "hang";
  bench.replica.submit(COMMAND, bench.replica.state!.promised);
  await bench.run(80);
  expect(bench.role).toBe("leader");
  await bench.run(50);
  expect(bench.role).toBe("follower");
  await bench.run(1_000);
  expect(bench.role).toBe("follower");
});

test("#9 the end of one write releases what waited for that one, and nothing of a later write (etcd#1690, etcd-io/raft#8)", async () => {
  const clock = new ManualClock();
  const delivered: string[] = [];
  const log = new MemoryLog({ disk: new MemoryDisk("disk"), clock, nextAppend: () => 5 });
  await log.open();
  const outbox = new DurableOutbox({
    log,
    clock,
    deliver: (envelopes) => {
      for (const { message } of envelopes) {
        if (message.kind === "phase2b") delivered.push(`${message.ballot}`);
      }
    },
    onFailure: (error) => {
      throw error;
    },
  });
  const [older, newer] = [ballot(1, nodeId(2)), ballot(2, nodeId(3))];
  for (const under of [older, newer]) {
    outbox.collect({
      records: acceptedRange(1, 1),
      release: [{ to: nodeId(2), message: { kind: "phase2b", ballot: under, slot: slot(1) } }],
      send: [],
      apply: [],
      fetch: undefined,
      restore: undefined,
    });
    outbox.flush();
  }
  clock.pass(5);
  await settle(clock);
  expect(delivered).toEqual([`${older}`]);
  clock.pass(5);
  await settle(clock);
  expect(delivered).toEqual([`${older}`, `${newer}`]);
});

test("#15 an answer to what was sent before the question, or under another ballot, proves no leadership (etcd#20418)", async () => {
  const mine = ballot(3, nodeId(1));
  const question = { ballot: mine, beat: 7, nextSlot: slot(5) } as Leader;
  const proof = new LeadershipProof(2);
  const said: string[] = [];
  const ask = (name: string): void => {
    void proof.ask(question).then((led) => said.push(`${name} ${led}`));
  };
  ask("first");
  const late: readonly PaxosMessage[] = [
    { kind: "heartbeatReply", ballot: mine, beat: 7 },
    { kind: "phase2b", ballot: mine, slot: slot(4) },
    { kind: "heartbeatReply", ballot: ballot(2, nodeId(1)), beat: 8 },
    { kind: "phase2b", ballot: ballot(2, nodeId(1)), slot: slot(5) },
  ];
  for (const message of late) proof.heard(nodeId(2), message);
  await settle(new ManualClock());
  expect(said).toEqual([]);
  proof.heard(nodeId(2), { kind: "heartbeatReply", ballot: mine, beat: 8 });
  await settle(new ManualClock());
  expect(said).toEqual(["first true"]);
  ask("second");
  proof.ended();
  await settle(new ManualClock());
  expect(said).toEqual(["first true", "second false"]);
});

test("#16 to have led a moment ago proves nothing: with no answer a leader's question is answered no (sofa-jraft#34, etcd-io/raft#99, tikv#964)", async () => {
  const bench = new Bench(3);
  await bench.led();
  const said: boolean[] = [];
  const ask = (): void => {
    void bench.replica.stillLeads(bench.replica.state!.promised).then((led) => said.push(led));
  };
  ask();
  await settle(bench.clock);
  expect(said).toEqual([]);
  // No time passes: the question does not wait for a heartbeat.
  await bench.answer();
  expect(said).toEqual([true]);

  ask();
  for (let passed = 0; passed < 200; passed += 10) {
    bench.clock.pass(10);
    await settle(bench.clock);
  }
  expect(bench.role).not.toBe("leader");
  expect(said).toEqual([true, false]);
});
