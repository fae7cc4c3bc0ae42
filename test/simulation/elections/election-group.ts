/**
 * Production replicas on a network whose shape is a directed graph, on virtual time. Whoever leads submits a command again
 * and again, so that it shows at every moment whether it works: whether what it submits gets chosen.
 */
import { MemoryDisk } from "../../../coordinator/log/memory-disk.ts";
import { MemoryLog } from "../../../coordinator/log/memory-log.ts";
import { majority } from "../../../coordinator/paxos/recover.ts";
import type { PaxosConfig } from "../../../coordinator/paxos/state.ts";
import { Replica, type ReplicaEvents } from "../../../coordinator/replication/replica.ts";
import type { SnapshotEvents } from "../../../coordinator/replication/snapshots.ts";
import { decodeBatch, encodeCommand } from "../../../coordinator/transactions/command.ts";
import type { PeerTransport } from "../../../coordinator/transport/peer-transport.ts";
import type { Ballot, NodeId } from "../../../shared/model/ids.ts";
import { nodeId } from "../../../shared/model/ids.ts";
import { Tally } from "../checkers/tally.ts";
import { NodeClock } from "../world/node-clock.ts";
import { Scheduler, type Process } from "../world/scheduler.ts";
import type { SeededRandom } from "../world/seeded-random.ts";
import { SimulatedNetwork } from "../world/simulated-network.ts";
import { machineOf, SimulatedPeers } from "../world/simulated-peers.ts";
import { Trace } from "../world/trace.ts";
import { complete, edgesOf, type Graph } from "./graph.ts";

/** The defaults of a real node. */
const ELECTION_TIMEOUT_MS = 600;
const HEARTBEAT_INTERVAL_MS = 75;
const TICK_INTERVAL_MS = 25;
const CALM_SUBMIT_INTERVAL_MS = 90;
const PATIENCE_MS = 20 * ELECTION_TIMEOUT_MS;
const MEAN_APPEND_MS = 1;
/** Chance that a node notices at once that its connection to a peer broke. */
const NOTICE_CHANCE = 0.5;

/** Without a load the logs stay short, so nobody takes snapshots, and nobody can be behind one. */
const NO_SNAPSHOTS: Omit<SnapshotEvents, "failed"> & Pick<ReplicaEvents, "restore"> = {
  image: () => [],
  restore: unexpected,
  snapshotTaken: unexpected,
  snapshotAbandoned: unexpected,
  snapshotDamaged: unexpected,
};

function unexpected(): never {
  throw new Error("there are no snapshots in this group");
}

export interface ElectionGroupOptions {
  readonly size: number;
  readonly random: SeededRandom;
  /** How fast the clock of a node runs; default as it should. */
  readonly clockRate?: (node: number) => number;
  /** A ballot that a node promised in an earlier life. */
  readonly promised?: (node: number) => Ballot | undefined;
  /** Nodes that `start` leaves out. */
  readonly absent?: readonly number[];
  readonly load?: Load;
}

/** So much is submitted that snapshots are taken, and whoever was away needs one. */
export interface Load {
  readonly submitIntervalMs: number;
  readonly commandBytes: number;
  readonly meanDelayMs: number;
  readonly snapshotChunks: number;
  readonly snapshotChunkBytes: number;
}

/** A leader submitted a command and saw it chosen while it led. */
export interface Work {
  readonly node: number;
  readonly ballot: Ballot;
  readonly submittedAtMs: number;
  readonly atMs: number;
}

export interface Elected {
  readonly node: number;
  readonly ballot: Ballot;
  readonly atMs: number;
}

/** A heartbeat or a proposal left. */
export interface Spoken {
  readonly node: number;
  readonly ballot: Ballot;
  readonly atMs: number;
}

interface Member {
  readonly node: number;
  readonly process: Process & { paused: boolean };
  readonly replica: Replica;
  readonly peerLost: (node: NodeId) => void;
  leads: Ballot | undefined;
}

export class ElectionGroup {
  readonly nodes: readonly number[];
  readonly quorum: number;
  readonly works: Work[] = [];
  readonly elected: Elected[] = [];
  readonly spoken: Spoken[] = [];
  /** Which snapshots were taken, restored and given up, by whom. */
  readonly snapshots: {
    readonly node: number;
    readonly what: "taken" | "restored" | "given up";
  }[] = [];
  readonly trace: Trace;
  readonly #options: ElectionGroupOptions;
  readonly #random: SeededRandom;
  readonly #scheduler = new Scheduler();
  readonly #network: SimulatedNetwork;
  readonly #peers: SimulatedPeers;
  readonly #members = new Map<number, Member>();
  readonly #writeTimes = new Map<number, () => number>();
  #graph: Graph;
  #failure: unknown;

  constructor(options: ElectionGroupOptions) {
    this.#options = options;
    this.#random = options.random;
    this.nodes = Array.from({ length: options.size }, (_, index) => index + 1);
    this.quorum = majority(options.size);
    this.#graph = complete(this.nodes);
    this.trace = new Trace(() => this.nowMs, 400);
    const character = {
      lossChance: 0,
      duplicateChance: 0,
      minDelayMs: 0.2,
      meanDelayMs: options.load?.meanDelayMs ?? this.#random.pick([0.5, 2, 8]),
    };
    const network = this.#random.fork("network");
    this.#network = new SimulatedNetwork(this.#scheduler, network, character, new Tally());
    this.#peers = new SimulatedPeers(
      this.#scheduler,
      this.#network,
      this.#random.fork("peers"),
      this.trace,
    );
  }

  get nowMs(): number {
    return this.#scheduler.nowMs;
  }

  /** An election timeout of the slowest clock, in true time. */
  get electionTimeoutMs(): number {
    const rates = this.nodes.map((node) => this.#clockRate(node));
    return ELECTION_TIMEOUT_MS / Math.min(...rates);
  }

  #clockRate(node: number): number {
    return this.#options.clockRate?.(node) ?? 1;
  }

  async start(): Promise<void> {
    for (const node of this.nodes) {
      if (this.#options.absent?.includes(node) !== true) await this.startNode(node);
    }
    this.#submitAgainAndAgain();
  }

  async startNode(node: number): Promise<void> {
    const member = this.#create(node);
    this.#members.set(node, member);
    await member.replica.start();
  }

  #create(node: number): Member {
    const process = { name: machineOf(nodeId(node)), alive: true, paused: false };
    const random = this.#random.fork(`node ${node}`);
    const character = { rate: this.#clockRate(node), wallOffsetMs: 0 };
    const clock = new NodeClock(this.#scheduler, process, character, random.between(0, 1_000_000));
    const nextAppend = (): number =>
      this.#writeTimes.get(node)?.() ?? random.exponential(MEAN_APPEND_MS);
    let peerLost: (lost: NodeId) => void = nothing;
    const attached = this.#peers.attach(nodeId(node), process, nothing, (message) => {
      if (message.kind !== "heartbeat" && message.kind !== "phase2a") return;
      this.spoken.push({ node, ballot: message.ballot, atMs: this.nowMs });
    });
    const peers: PeerTransport = {
      ...attached,
      onPeerLost: (notify) => {
        peerLost = notify;
      },
    };
    const replica = new Replica({
      config: this.#config(node),
      tickIntervalMs: TICK_INTERVAL_MS,
      snapshots: { minGrowthBytes: this.#options.load === undefined ? Infinity : 0 },
      log: new MemoryLog({ disk: this.#disk(node), clock, nextAppend }),
      events: this.#events(node),
      ...{ peers, clock, random },
    });
    const notifyLost = (lost: NodeId): void => {
      peerLost(lost);
    };
    return { node, process, replica, leads: undefined, peerLost: notifyLost };
  }

  #config(node: number): PaxosConfig {
    return {
      self: nodeId(node),
      members: this.nodes.map((each) => nodeId(each)),
      phase1Quorum: this.quorum,
      phase2Quorum: this.quorum,
      heartbeatIntervalMs: HEARTBEAT_INTERVAL_MS,
      electionTimeoutMs: ELECTION_TIMEOUT_MS,
      windowSlots: 16,
      acceptAheadSlots: 32,
      pageSlots: 64,
      pageBytes: 64 * 1024,
      trailingSlots: 64,
      trailingBytes: 64 * 1024,
    };
  }

  #disk(node: number): MemoryDisk {
    const disk = new MemoryDisk(`disk ${node}`);
    const promised = this.#options.promised?.(node);
    if (promised !== undefined) disk.keep([{ kind: "promised", ballot: promised }]);
    return disk;
  }

  #events(node: number): ReplicaEvents {
    const line = (text: string): void => {
      this.trace.line(machineOf(nodeId(node)), text);
    };
    return {
      ...this.#snapshotEvents(node),
      apply: ({ value }) => {
        this.#applied(node, value);
      },
      leads: (ballot) => {
        this.#member(node).leads = ballot;
        this.elected.push({ node, ballot, atMs: this.nowMs });
        line(`leads under b${ballot}`);
      },
      stoppedLeading: (ballot) => {
        this.#member(node).leads = undefined;
        line(`leads no more under b${ballot}`);
      },
      failed: (error) => {
        this.#failure ??= error;
      },
    };
  }

  #snapshotEvents(node: number): typeof NO_SNAPSHOTS {
    const { load } = this.#options;
    if (load === undefined) return NO_SNAPSHOTS;
    const note = (what: "taken" | "restored" | "given up") => (): void => {
      this.snapshots.push({ node, what });
    };
    const { snapshotChunks, snapshotChunkBytes } = load;
    return {
      ...NO_SNAPSHOTS,
      image: () => Array.from({ length: snapshotChunks }, () => new Uint8Array(snapshotChunkBytes)),
      restore: (_, chunks) => {
        expect([...chunks]).toHaveLength(snapshotChunks);
        note("restored")();
      },
      snapshotTaken: note("taken"),
      snapshotAbandoned: note("given up"),
    };
  }

  #member(node: number): Member {
    const member = this.#members.get(node);
    if (member === undefined) throw new Error(`node ${node} does not run`);
    return member;
  }

  replica(node: number): Replica {
    return this.#member(node).replica;
  }

  #submitAgainAndAgain(): void {
    this.#scheduler.after(
      this.#options.load?.submitIntervalMs ?? CALM_SUBMIT_INTERVAL_MS,
      undefined,
      () => {
        for (const member of this.#members.values()) {
          if (!member.process.paused) this.#submit(member);
        }
        this.#submitAgainAndAgain();
      },
    );
  }

  #submit({ leads, replica }: Member): void {
    if (leads === undefined) return;
    const padding = "x".repeat(this.#options.load?.commandBytes ?? 0);
    const command = { kind: "barrier", ballot: leads, atMs: this.nowMs, padding } as const;
    replica.submit(encodeCommand(command), leads);
  }

  #applied(node: number, value: Uint8Array): void {
    const leads = this.#members.get(node)?.leads;
    for (const command of decodeBatch(value)) {
      if (command.kind !== "barrier" || command.ballot !== leads) continue;
      const { ballot, atMs: submittedAtMs } = command;
      this.works.push({ node, ballot, submittedAtMs, atMs: this.nowMs });
    }
  }

  /** Lets so much true time pass. */
  async pass(forMs: number): Promise<void> {
    const untilMs = this.nowMs + forMs;
    await this.#scheduler.run(untilMs, () => {
      if (this.#failure instanceof Error) throw this.#failure;
    });
  }

  /** Whoever works, as soon as somebody does. */
  async leader(): Promise<number> {
    const fromMs = this.nowMs;
    while (this.nowMs < fromMs + PATIENCE_MS) {
      const work = this.works.findLast(({ submittedAtMs }) => submittedAtMs >= fromMs);
      if (work !== undefined) return work.node;
      await this.pass(TICK_INTERVAL_MS);
    }
    throw new Error(`nobody works\n${this.story()}`);
  }

  /** Messages pass along the edges of this graph from now on; each end of a link that breaks may notice it. */
  become(graph: Graph): void {
    for (const [from, to] of edgesOf(this.nodes)) {
      const [was, is] = [this.#graph.has(`${from}>${to}`), graph.has(`${from}>${to}`)];
      if (was === is) continue;
      this.trace.line("network", `${from}>${to} ${is ? "opens" : "is cut"}`);
      const [source, target] = [nodeId(from), nodeId(to)];
      if (is) this.#network.unblock(machineOf(source), machineOf(target));
      else this.#cut(source, target);
    }
    this.#graph = graph;
  }

  #cut(from: NodeId, to: NodeId): void {
    this.#network.block(machineOf(from), machineOf(to));
    for (const [node, lost] of [
      [from, to],
      [to, from],
    ] as const) {
      const member = this.#members.get(node);
      if (member === undefined || !this.#random.chance(NOTICE_CHANCE)) continue;
      this.#scheduler.after(this.#random.between(0, 50), member.process, () => {
        member.peerLost(lost);
      });
    }
  }

  get graph(): Graph {
    return this.#graph;
  }

  /** No write of this node ends before so much time has passed. */
  hangDisk(node: number, forMs: number): void {
    this.trace.line(machineOf(nodeId(node)), "its disk hangs");
    const untilMs = this.nowMs + forMs;
    this.#writeTimes.set(node, () => Math.max(untilMs - this.nowMs, 0) * this.#clockRate(node));
  }

  /** Each write of this node takes so long by its own clock. */
  slowDisk(node: number, nextWriteMs: () => number): void {
    this.trace.line(machineOf(nodeId(node)), "its disk is slow");
    this.#writeTimes.set(node, nextWriteMs);
  }

  /** Stops the process where it is: its timers and sockets fill up. */
  pause(node: number): void {
    this.trace.line(machineOf(nodeId(node)), "is paused");
    this.#member(node).process.paused = true;
  }

  /** What filled up is worked off in order, after something that a client submits at this very moment. */
  resume(node: number): void {
    const member = this.#member(node);
    const { process } = member;
    this.trace.line(process.name, "goes on");
    process.paused = false;
    this.#submit(member);
    this.#scheduler.resumed(process);
  }

  story(): string {
    return this.trace.last(80).join("\n");
  }
}

const nothing = (): void => undefined;
