/** What happens in which order within one turn of a replica: over the real log on a real disk, with peers in the test's hand. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Disk } from "../../coordinator/log/wal/disk.ts";
import { systemDisk } from "../../coordinator/log/wal/system-disk.ts";
import { WriteAheadLog } from "../../coordinator/log/wal/wal.ts";
import type { PeerMessage } from "../../coordinator/paxos/message.ts";
import { Replica } from "../../coordinator/replication/replica.ts";
import { encodeCommand } from "../../coordinator/transactions/command.ts";
import { NOWHERE } from "../../coordinator/transport/position.ts";
import { ballot, clusterId, nodeId, slot, type NodeId } from "../../shared/model/ids.ts";
import { systemClock, systemRandom } from "../../shared/runtime/clock.ts";
import { configOf, value } from "../paxos/support/group.ts";
import { eventually } from "../support/wait.ts";

const [one, two, three] = [nodeId(1), nodeId(2), nodeId(3)];

/** A replica whose every effect is told in `events`. */
class Told {
  readonly directory = mkdtempSync(join(tmpdir(), "synod-turns-"));
  events: string[] = [];
  readonly sent: PeerMessage[] = [];
  readonly replica: Replica;
  #receive: (from: NodeId, message: PeerMessage) => void = () => undefined;

  constructor(self: NodeId) {
    const tell = (event: string): void => void this.events.push(event);
    this.replica = new Replica({
      config: configOf(self, 3, { electionTimeoutMs: 200, heartbeatIntervalMs: 60 }),
      ...{ tickIntervalMs: 20, snapshots: { minGrowthBytes: Infinity } },
      ...{ clock: systemClock, random: systemRandom },
      log: new WriteAheadLog({
        directory: this.directory,
        identity: { clusterId: clusterId("turns"), nodeId: self },
        disk: tellingWrites(() => {
          tell("write");
        }),
      }),
      peers: {
        send: (_, message) => {
          this.sent.push(message);
          if (message.kind === "phase2b") tell(`vote ${message.slot}`);
        },
        onMessage: (receive) => {
          this.#receive = receive;
        },
        onPeerLost: () => undefined,
      },
      events: {
        apply: (chosen) => {
          tell(`apply ${chosen.slot}`);
        },
        leads: (under) => {
          const barrier = { kind: "barrier", ballot: under, atMs: 0 } as const;
          this.replica.submit(encodeCommand(barrier), under);
        },
        stoppedLeading: () => {
          tell("stopped leading");
        },
        failed: (error) => {
          throw error;
        },
        ...{ restore: () => undefined, image: () => [], snapshotTaken: () => undefined },
        ...{ snapshotAbandoned: () => undefined, snapshotDamaged: () => undefined },
      },
    });
  }

  receive(from: NodeId, message: PeerMessage): void {
    this.#receive(from, message);
  }

  async heard<Kind extends PeerMessage["kind"]>(
    kind: Kind,
  ): Promise<Extract<PeerMessage, { kind: Kind }>> {
    const find = (): PeerMessage | undefined => this.sent.find((message) => message.kind === kind);
    await eventually(`a ${kind} is sent`, () => find() !== undefined);
    return find() as Extract<PeerMessage, { kind: Kind }>;
  }
}

function tellingWrites(tell: () => void): Disk {
  return {
    ...systemDisk,
    openDurable: async (path) => {
      const file = await systemDisk.openDurable(path);
      return {
        ...file,
        write: (bytes, position) => {
          tell();
          return file.write(bytes, position);
        },
      };
    },
  };
}

let told: Told;

async function start(self: NodeId): Promise<Told> {
  told = new Told(self);
  await told.replica.start();
  told.events = [];
  return told;
}

afterEach(async () => {
  await told.replica.stop();
  rmSync(told.directory, { recursive: true });
});

test("the disk is at work on a slot before the one below it is applied", async () => {
  const { replica } = await start(two);
  const accept = (at: number): void => {
    const chosenUpTo = slot(at - 1);
    const proposal = { ballot: ballot(1, one), slot: slot(at), value: value(`v${at}`) };
    told.receive(one, { kind: "phase2a", ...proposal, chosenUpTo });
  };
  accept(1);
  await eventually("slot 1 is voted for", () => told.events.includes("vote 1"));
  accept(2);
  await eventually("slot 2 is voted for", () => told.events.includes("vote 2"));
  expect(told.events).toEqual(["write", "vote 1", "write", "apply 1", "vote 2"]);
  expect(replica.chosenUpTo).toBe(1);
});

/** Node 1 is elected; answers its first proposal. */
async function leads(): Promise<Extract<PeerMessage, { kind: "phase2a" }>> {
  const { attempt } = await told.heard("probe");
  told.receive(two, { kind: "probeReply", attempt, granted: true, promised: ballot(1, two) });
  const asked = await told.heard("phase1a");
  told.receive(two, {
    ...{ kind: "phase1b", ballot: asked.ballot, fromSlot: asked.fromSlot },
    ...{ nextSlot: null, slots: [], truncatedUpTo: slot(0) },
  });
  return told.heard("phase2a");
}

test("what a node says it holds grows with its durable promises and votes, those to itself included", async () => {
  const { replica } = await start(one);
  expect(replica.holds).toEqual(NOWHERE);
  const proposed = await leads();
  await eventually("the own vote is durable", () => replica.holds.slot > 0);
  expect(replica.holds).toEqual({ promised: proposed.ballot, slot: proposed.slot });
  const higher = ballot(1_000, three);
  const proposal = { ballot: higher, slot: slot(5), value: value("v"), chosenUpTo: slot(0) };
  told.receive(three, { kind: "phase2a", ...proposal });
  await eventually("voted", () => told.events.includes("vote 5"));
  expect(replica.holds).toEqual({ promised: higher, slot: slot(5) });
});

test("what was chosen before leadership ended is applied before its end is told", async () => {
  await start(one);
  const proposed = await leads();
  told.events = [];
  told.receive(two, { kind: "phase2b", ballot: proposed.ballot, slot: proposed.slot });
  told.receive(three, { kind: "phase2b", ballot: proposed.ballot, slot: proposed.slot });
  const higher = { ballot: ballot(1_000, three), beat: 1, chosenUpTo: slot(0) };
  told.receive(three, { kind: "heartbeat", ...higher });
  await eventually("leadership ended", () => told.events.includes("stopped leading"));
  expect(told.events.filter((event) => event !== "write")).toEqual(["apply 1", "stopped leading"]);
});
