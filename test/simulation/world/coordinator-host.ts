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
import type { DurableRecord } from "../../../coordinator/paxos/record.ts";
import { majority } from "../../../coordinator/paxos/recover.ts";
import type { PaxosConfig } from "../../../coordinator/paxos/state.ts";
import { SLOT_BYTES, type SnapshotPolicy } from "../../../coordinator/replication/snapshots.ts";
import type { PeerTransport } from "../../../coordinator/transport/peer-transport.ts";
import type { CarrierId, ClusterId, NodeId } from "../../../shared/model/ids.ts";
import type { Cancel, Clock, Logger } from "../../../shared/model/ports.ts";
import { Violation } from "../checkers/violation.ts";
import type { DiskKnobs, PaxosKnobs } from "../knobs.ts";
import type { Mutation } from "../mutation.ts";
import { FaultyLog } from "./faulty-log.ts";
import { Incarnation } from "./incarnation.ts";
import {
  mutatedAnsweredKeys,
  mutatedLedgerOptions,
  mutatedLinks,
  mutatedPeers,
  mutateNode,
} from "./mutated-coordinator.ts";
import { NodeClock, type ClockCharacter } from "./node-clock.ts";
import type { Served } from "./remote-call.ts";
import type { SeededRandom } from "./seeded-random.ts";
import { SimulatedLinks, type LinkWorld } from "./simulated-links.ts";
import { machineOf, type SimulatedPeers } from "./simulated-peers.ts";

/** What the checkers are told of a node, besides the state that it is in after each event. */
export interface NodeWatch {
  /** Its disk holds these records. */
  durable(node: NodeId, records: readonly DurableRecord[]): void;
  /** This is about to leave it. */
  sending(life: LivingCoordinator, message: PeerMessage): void;
  /** Right before a life ends, perhaps in the middle of a turn. */
  crashing(host: CoordinatorHost, life: LivingCoordinator): void;
}

export interface CoordinatorHostOptions {
  readonly clusterId: ClusterId;
  readonly self: NodeId;
  readonly members: readonly NodeId[];
  readonly clockSpread: number;
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
  readonly watch: NodeWatch;
  readonly onIncident: (sentence: string, gid: string) => void;
  /** The node is about to abort it, because it takes it for deadlocked. */
  readonly onVictim: (carrierId: CarrierId) => void;
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
const CALM_APPEND_MS = 0.1;

export class CoordinatorHost {
  readonly self: NodeId;
  readonly machine: string;
  readonly #options: CoordinatorHostOptions;
  readonly #disk: MemoryDisk;
  readonly #clockCharacter: ClockCharacter;
  #life: Life | undefined;
  #lives = 0;
  #cancelRestart: Cancel = () => undefined;
  /** How many times as long as usual appends take; 0 once faults have ended: they are quick then, and none fails. */
  diskFactor = 1;
  /** Since when the append under way hangs, if it does. */
  #hangsSinceMs: number | undefined;
  /** Crashed for longer than a while. */
  staysDown = false;

  constructor(options: CoordinatorHostOptions) {
    const { self, random, clockSpread } = options;
    this.self = self;
    this.machine = machineOf(self);
    this.#options = options;
    this.#disk = new MemoryDisk(random.token(8));
    this.#clockCharacter = {
      rate: 1 + random.between(-clockSpread, clockSpread),
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

  get life(): LivingCoordinator | undefined {
    return this.#life;
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
    const { process, log, links } = this.#life;
    const { world, random, peers, meanDownMs, watch } = this.#options;
    watch.crashing(this, this.#life);
    this.#life = undefined;
    world.trace.line(this.machine, `CRASH (${why})`);
    world.tally.count(`fault: coordinator ended, ${why}`);
    process.end();
    log.crash((unsynced) => this.#survivors(unsynced));
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
    const { world, self, clusterId, random, mutation, watch } = this.#options;
    const effect = (what: string) => (): void => {
      incarnation.effect(what);
    };
    const log = new MemoryLog({
      disk: this.#disk,
      clock,
      nextAppend: () => this.#appendMs(),
      ...(mutation === "promises forgotten" && { mutation: "forgetPromises" }),
      ...(mutation === "cut before durable" && { mutation: "truncateBeforeDurable" }),
    });
    const links = new SimulatedLinks(world, self, incarnation, clock, effect("before a request"));
    const node = createCoordinatorNode({
      clusterId,
      paxos: this.#paxosConfig(),
      tickIntervalMs: this.#options.paxos.tickIntervalMs,
      snapshots: this.#snapshotPolicy(),
      log: new FaultyLog(log, incarnation, {
        toldBeforeDurable: mutation === "told before durable",
        damages: () => this.#damagesChunk(),
        onDurable: (records) => {
          watch.durable(self, records);
        },
      }),
      peers: mutatedPeers(this.#attachPeers(incarnation), mutation),
      links: mutatedLinks(links, mutation),
      clock,
      random: random.fork(`node ${this.#lives}`),
      logger: this.#logger(incarnation),
      onFatal: (error) => {
        if (!incarnation.alive) return;
        if (error instanceof LogFailure) this.crash("the disk failed");
        else this.#options.onFatal(error);
      },
      ledgerOptions: mutatedLedgerOptions(mutation),
      answeredKeys: mutatedAnsweredKeys(mutation),
    });
    mutateNode(node, this.machine, mutation);
    return { self, host: this, process: incarnation, node, clock, log, links };
  }

  #attachPeers(incarnation: Incarnation): PeerTransport {
    const { peers, self, watch, random, crashAfterSendingChance } = this.#options;
    const before = (message: PeerMessage): void => {
      incarnation.effect("before a send");
      const life = this.#life;
      if (life?.process === incarnation) watch.sending(life, message);
    };
    const after = (message: PeerMessage): void => {
      const isLast = random.chance(crashAfterSendingChance(message));
      if (isLast) this.crash(`after sending a ${message.kind}`);
    };
    return peers.attach(self, incarnation, before, after);
  }

  #appendMs(): number | "fail" {
    const { random, disk, world } = this.#options;
    this.#hangsSinceMs = undefined;
    if (this.diskFactor === 0) return CALM_APPEND_MS;
    if (random.chance(disk.failChance)) {
      world.tally.count("fault: append failed");
      return "fail";
    }
    if (random.chance(disk.hangChance)) {
      world.tally.count("fault: append hung");
      this.#hangsSinceMs = world.scheduler.nowMs;
      return random.between(0, MAX_HANG_MS);
    }
    return random.exponential(disk.meanAppendMs) * this.diskFactor;
  }

  /** What the crash leaves of writes that were under way: a part from the first on, or all of them, and nobody was told. */
  #survivors(unsynced: number): number {
    const { random, world } = this.#options;
    const survivors = random.integer(unsynced + 1);
    if (unsynced === 0) return 0;
    const kind = survivors === 0 ? "lost" : survivors < unsynced ? "torn" : "kept, but untold";
    world.tally.count(`fault: unsynced writes ${kind}`);
    return survivors;
  }

  #damagesChunk(): boolean {
    const { random, disk, world } = this.#options;
    if (this.diskFactor === 0 || !random.chance(disk.damageChance)) return false;
    world.tally.count("fault: chunk of a snapshot damaged");
    return true;
  }

  #hangs(): boolean {
    const { world, paxos } = this.#options;
    const hangsMs = world.scheduler.nowMs - (this.#hangsSinceMs ?? Infinity);
    return hangsMs >= paxos.electionTimeoutMs / 2;
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
      acceptAheadSlots: paxos.windowSlots,
      pageSlots: paxos.pageSlots,
      trailingSlots: paxos.trailingSlots,
      trailingBytes: TRAILING_BYTES,
    };
  }

  /** Whatever is logged as an error is for people to look at: nothing may be, in a world without sabotage. */
  #logger(incarnation: Incarnation): Logger {
    const { world, onIncident, onFatal, onVictim } = this.#options;
    const line = (_fields: object, message: string): void => {
      if (!incarnation.alive) return;
      world.trace.line(this.machine, message);
      world.tally.count(message);
      if (message === "stopped leading" && this.#hangs()) {
        world.tally.count("leader with a hung log handed over");
      }
    };
    return {
      debug: (fields, message) => {
        if (!incarnation.alive || message !== "deadlock between shards") return;
        line(fields, message);
        onVictim((fields as { readonly victim: CarrierId }).victim);
      },
      info: line,
      warn: line,
      error: (fields, message) => {
        line(fields, message);
        const { gid, sentence } = fields as { gid?: string; sentence?: string };
        if (message.startsWith("the own snapshot is damaged")) return;
        if (gid === undefined) onFatal(new Violation("no error logged", message));
        else onIncident(`${message}: ${sentence ?? ""}`, gid);
      },
    };
  }
}
