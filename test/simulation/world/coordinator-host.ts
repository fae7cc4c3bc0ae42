/**
 * The machine of one coordinator: a disk that survives, and one incarnation after another of the production node.
 */
import {
  createCoordinatorNode,
  type CoordinatorNode,
} from "../../../coordinator/coordinator-node.ts";
import { LogFailure } from "../../../coordinator/log/log-store.ts";
import { MemoryDisk } from "../../../coordinator/log/memory-disk.ts";
import { MemoryLog } from "../../../coordinator/log/memory-log.ts";
import type { PeerMessage } from "../../../coordinator/paxos/message.ts";
import { majority } from "../../../coordinator/paxos/recover.ts";
import type { PaxosConfig } from "../../../coordinator/paxos/state.ts";
import { SLOT_BYTES, type SnapshotPolicy } from "../../../coordinator/replication/snapshots.ts";
import { DEFAULT_LEDGER_OPTIONS } from "../../../coordinator/transactions/ledger/ledger.ts";
import type { ClusterId, NodeId } from "../../../shared/model/ids.ts";
import type { Cancel, Clock, Logger } from "../../../shared/model/ports.ts";
import { Violation } from "../checkers/violation.ts";
import type { DiskKnobs, PaxosKnobs } from "../knobs.ts";
import type { Mutation } from "../mutation.ts";
import { FaultyLog } from "./faulty-log.ts";
import { Incarnation } from "./incarnation.ts";
import { NodeClock, type ClockCharacter } from "./node-clock.ts";
import type { Served } from "./remote-call.ts";
import type { SeededRandom } from "./seeded-random.ts";
import { SimulatedLinks, type LinkWorld } from "./simulated-links.ts";
import { machineOf, type SimulatedPeers } from "./simulated-peers.ts";

export interface CoordinatorHostOptions {
  readonly clusterId: ClusterId;
  readonly self: NodeId;
  readonly members: readonly NodeId[];
  readonly paxos: PaxosKnobs;
  readonly disk: DiskKnobs;
  readonly world: LinkWorld;
  readonly peers: SimulatedPeers;
  readonly random: SeededRandom;
  readonly crashAtEffectChance: () => number;
  readonly crashAfterSendingChance: (message: PeerMessage) => number;
  readonly meanDownMs: () => number;
  readonly mutation: Mutation;
  readonly onFatal: (error: unknown) => void;
  /** Called right before a life ends, perhaps in the middle of a turn. */
  readonly onCrash: (machine: string, node: CoordinatorNode) => void;
  readonly onIncident: (sentence: string, gid: string) => void;
}

/** A node as it runs now. */
export interface LivingCoordinator {
  readonly self: NodeId;
  readonly host: CoordinatorHost;
  readonly process: Incarnation;
  readonly node: CoordinatorNode;
  readonly clock: Clock;
}

interface Life extends LivingCoordinator {
  readonly log: MemoryLog;
  readonly links: SimulatedLinks;
}

const PAGE_BYTES = 16 * 1024;
const TRAILING_BYTES = 16 * 1024;
/** How long a hanging append hangs, at most. */
const MAX_HANG_MS = 2_000;

export class CoordinatorHost {
  readonly self: NodeId;
  readonly machine: string;
  readonly #options: CoordinatorHostOptions;
  readonly #disk: MemoryDisk;
  readonly #clockCharacter: ClockCharacter;
  #life: Life | undefined;
  #lives = 0;
  #cancelRestart: Cancel = () => undefined;
  /** False once faults have ended: appends are quick then. */
  slowDisk = true;
  /** Crashed for longer than a while. */
  staysDown = false;

  constructor(options: CoordinatorHostOptions) {
    const { self, random } = options;
    this.self = self;
    this.machine = machineOf(self);
    this.#options = options;
    this.#disk = new MemoryDisk(random.token(8));
    this.#clockCharacter = {
      rate: random.between(0.9, 1.1),
      wallOffsetMs: random.between(-5_000, 5_000),
    };
  }

  /** Undefined while the process is down. */
  get node(): CoordinatorNode | undefined {
    return this.#life?.node;
  }

  get process(): Incarnation | undefined {
    return this.#life?.process;
  }

  get lives(): number {
    return this.#lives;
  }

  served(): Served<LivingCoordinator> | undefined {
    const life = this.#life;
    if (life === undefined) return undefined;
    const { process } = life;
    return { process, node: life, onEnd: (notify) => process.onEnd(notify) };
  }

  start(): void {
    if (this.#life !== undefined || this.staysDown) return;
    this.#cancelRestart();
    this.#lives += 1;
    const { random, world, crashAtEffectChance } = this.#options;
    const incarnation: Incarnation = new Incarnation(
      `${this.machine}#${this.#lives}`,
      random.fork(`effects ${this.#lives}`),
      crashAtEffectChance,
      (where) => {
        this.crash(where);
      },
    );
    const clock = new NodeClock(
      world.scheduler,
      incarnation,
      this.#clockCharacter,
      random.between(0, 1_000_000),
    );
    this.#life = this.#create(incarnation, clock);
    world.trace.line(this.machine, `starts, life ${this.#lives}`);
    this.#life.node.start().catch((error: unknown) => {
      this.#options.onFatal(error);
    });
  }

  /** Ends the process here and now; it starts again by itself after a while. */
  crash(why: string): void {
    if (this.#life === undefined) return;
    const { process, log, links, node } = this.#life;
    this.#options.onCrash(this.machine, node);
    const { world, random, peers, meanDownMs } = this.#options;
    this.#life = undefined;
    world.trace.line(this.machine, `CRASH (${why})`);
    world.tally.count("coordinator crashed");
    process.end();
    log.crash((unsynced) => random.integer(unsynced + 1));
    links.ended();
    peers.broken(this.self, 0.7);
    this.#cancelRestart = world.scheduler.after(random.exponential(meanDownMs()), undefined, () => {
      this.start();
    });
  }

  /** An orderly end. */
  shutDown(): void {
    const life = this.#life;
    if (life === undefined) return;
    this.#options.world.trace.line(this.machine, "shuts down");
    void life.node.stop().then(() => {
      if (this.#life === life) this.crash("shut down");
    });
  }

  /** A cut cable between this node and a participant. */
  cutLink(shard: Parameters<SimulatedLinks["cut"]>[0]): void {
    this.#life?.links.cut(shard);
  }

  #create(incarnation: Incarnation, clock: Clock): Life {
    const { world, self, clusterId, peers, random, mutation } = this.#options;
    const effect = (what: string) => (): void => {
      incarnation.effect(what);
    };
    const log = new MemoryLog({
      disk: this.#disk,
      clock,
      nextAppend: () => this.#appendMs(),
      ...(mutation === "promises forgotten" && { mutation: "forgetPromises" }),
    });
    const links = new SimulatedLinks(world, self, incarnation, clock, effect("before a request"));
    const node = createCoordinatorNode({
      clusterId,
      paxos: this.#paxosConfig(),
      tickIntervalMs: this.#options.paxos.tickIntervalMs,
      snapshots: this.#snapshotPolicy(),
      log: new FaultyLog(log, incarnation, mutation === "told before durable"),
      peers: peers.attach(self, incarnation, effect("before a send"), (message) => {
        const chance = this.#options.crashAfterSendingChance(message);
        if (this.#options.random.chance(chance)) this.crash(`after sending a ${message.kind}`);
      }),
      links,
      clock,
      random: random.fork(`node ${this.#lives}`),
      logger: this.#logger(incarnation),
      onFatal: (error) => {
        if (!incarnation.alive) return;
        if (error instanceof LogFailure) this.crash("the disk failed");
        else this.#options.onFatal(error);
      },
      ledgerOptions: {
        ...DEFAULT_LEDGER_OPTIONS,
        voidsCommitsBelowFloor: mutation !== "no floor",
      },
    });
    return { self, host: this, process: incarnation, node, clock, log, links };
  }

  #appendMs(): number | "fail" {
    const { random, disk } = this.#options;
    if (!this.slowDisk) return 0.1;
    if (random.chance(disk.failChance)) return "fail";
    if (random.chance(disk.hangChance)) return random.between(0, MAX_HANG_MS);
    return random.exponential(disk.meanAppendMs);
  }

  #snapshotPolicy(): SnapshotPolicy {
    const { snapshotIntervalSlots } = this.#options.paxos;
    const isNever = snapshotIntervalSlots === 0;
    return { minGrowthBytes: isNever ? Infinity : snapshotIntervalSlots * SLOT_BYTES };
  }

  #paxosConfig(): PaxosConfig {
    const { self, members, paxos } = this.#options;
    const quorum = majority(members.length);
    return {
      ...{ self, members, phase1Quorum: quorum, phase2Quorum: quorum, pageBytes: PAGE_BYTES },
      heartbeatIntervalMs: paxos.heartbeatIntervalMs,
      electionTimeoutMs: paxos.electionTimeoutMs,
      windowSlots: paxos.windowSlots,
      pageSlots: paxos.pageSlots,
      trailingSlots: paxos.trailingSlots,
      trailingBytes: TRAILING_BYTES,
    };
  }

  /** Whatever is logged as an error is for people to look at: nothing may be, in a world without sabotage. */
  #logger(incarnation: Incarnation): Logger {
    const { world, onIncident, onFatal } = this.#options;
    const line = (_fields: object, message: string): void => {
      if (!incarnation.alive) return;
      world.trace.line(this.machine, message);
      world.tally.count(message);
    };
    return {
      debug: () => undefined,
      info: line,
      warn: line,
      error: (fields, message) => {
        line(fields, message);
        const { gid, sentence } = fields as { gid?: string; sentence?: string };
        if (gid === undefined) onFatal(new Violation("no error logged", message));
        else onIncident(`${message}: ${sentence ?? ""}`, gid);
      },
    };
  }
}
