/**
 * The machine of one shard: a database that survives, and one incarnation after another of the production participant, each
 * of which, as participant.ts does, waits for the database and ends its predecessors' sessions before it serves.
 */
import {
  createParticipantNode,
  type ParticipantNode,
  type ParticipantNodeOptions,
} from "../../../participant/participant-node.ts";
import type { MemoryPoint } from "../../../participant/shard/memory-hooks.ts";
import { MemoryShard } from "../../../participant/shard/memory-shard.ts";
import type { CarrierId, ClusterId, ShardId } from "../../../shared/model/ids.ts";
import type { Cancel, Logger } from "../../../shared/model/ports.ts";
import type { BranchRequest } from "../../../shared/model/protocol.ts";
import type { EndedBranch, PreparedBranch } from "../checkers/audit.ts";
import type { Tally } from "../checkers/tally.ts";
import { Violation } from "../checkers/violation.ts";
import { OPENING_VALUE } from "../clients/statements.ts";
import type { DatabaseKnobs, ParticipantKnobs } from "../knobs.ts";
import type { Mutation } from "../mutation.ts";
import type { CoordinatorHost } from "./coordinator-host.ts";
import { DatabaseFaults, type ScriptedEffect } from "./database-faults.ts";
import { Incarnation } from "./incarnation.ts";
import { mutatedHandle, mutatedInquirer, mutatedShard } from "./mutated-participant.ts";
import { NodeClock, type ClockCharacter } from "./node-clock.ts";
import { ObservedDatabase } from "./observed-database.ts";
import type { RemoteCalls } from "./remote-call.ts";
import type { Scheduler } from "./scheduler.ts";
import type { SeededRandom } from "./seeded-random.ts";
import type { ParticipantDoor } from "./simulated-links.ts";
import { SimulatedInquirer } from "./simulated-inquirer.ts";
import type { Trace } from "./trace.ts";

export interface ParticipantHostOptions {
  readonly clusterId: ClusterId;
  readonly shard: ShardId;
  readonly items: readonly string[];
  readonly clockSpread: number;
  readonly participant: ParticipantKnobs;
  readonly database: DatabaseKnobs;
  readonly scheduler: Scheduler;
  readonly trace: Trace;
  readonly tally: Tally;
  readonly calls: RemoteCalls;
  readonly random: SeededRandom;
  readonly mutation: Mutation;
  readonly coordinators: () => readonly CoordinatorHost[];
  readonly crashAtEffectChance: () => number;
  readonly meanDownMs: () => number;
  readonly faultsAreOver: () => boolean;
  readonly onBranchPrepared: (branch: PreparedBranch) => void;
  readonly onBranchEnded: (branch: EndedBranch) => void;
  readonly onTold: (by: string, id: CarrierId, outcome: string) => void;
  readonly onIncident: (sentence: string, gid: string) => void;
  readonly onFailure: (error: unknown) => void;
}

interface Life {
  readonly process: Incarnation;
  readonly door: ParticipantDoor;
  readonly connection: MemoryShard;
  readonly node: ParticipantNode;
}

const RETRY_START_MS = 50;

export class ParticipantHost {
  readonly shard: ShardId;
  readonly database: ObservedDatabase;
  readonly scripted = new Map<MemoryPoint, ScriptedEffect>();
  readonly #options: ParticipantHostOptions;
  readonly #clockCharacter: ClockCharacter;
  #life: Life | undefined;
  #lives = 0;
  #cancelRestart: Cancel = () => undefined;
  #heard: BranchRequest[] | undefined;

  constructor(options: ParticipantHostOptions) {
    const { shard, clusterId, random, trace, items, clockSpread } = options;
    this.shard = shard;
    this.#options = options;
    this.database = new ObservedDatabase(shard, clusterId, options.onBranchPrepared, (branch) => {
      trace.line(shard, `database: ${branch.carrierId} ${branch.how}`);
      options.onBranchEnded(branch);
    });
    for (const item of items) this.database.items.set(item, BigInt(OPENING_VALUE));
    this.#clockCharacter = {
      rate: 1 + random.between(-clockSpread, clockSpread),
      wallOffsetMs: random.between(-5_000, 5_000),
    };
  }

  get process(): Incarnation | undefined {
    return this.#life?.process;
  }

  get door(): ParticipantDoor | undefined {
    return this.#life?.door;
  }

  /** Every request from now on, in order of arrival. */
  record(): readonly BranchRequest[] {
    this.#heard ??= [];
    return this.#heard;
  }

  start(): void {
    if (this.#life !== undefined) return;
    this.#cancelRestart();
    const { random, crashAtEffectChance, trace, scheduler } = this.#options;
    if (!this.database.isUp) {
      this.#cancelRestart = scheduler.after(RETRY_START_MS, undefined, () => {
        this.start();
      });
      return;
    }
    this.database.terminateSessions();
    this.#lives += 1;
    const process: Incarnation = new Incarnation(
      `${this.shard}#${this.#lives}`,
      random.fork(`effects ${this.#lives}`),
      crashAtEffectChance,
      (where) => {
        this.crash(where);
      },
    );
    trace.line(this.shard, `starts, life ${this.#lives}`);
    this.#life = this.#create(process);
  }

  /** Ends the process here and now; it starts again by itself after a while. The database goes on. */
  crash(why: string): void {
    if (this.#life === undefined) return;
    const { trace, scheduler, random, meanDownMs, coordinators } = this.#options;
    const { process, connection } = this.#life;
    this.#life = undefined;
    trace.line(this.shard, `CRASH (${why})`);
    this.#options.tally.count(`fault: participant ended, ${why}`);
    process.end();
    connection.disconnect();
    for (const host of coordinators()) host.cutLink(this.shard);
    this.#cancelRestart = scheduler.after(random.exponential(meanDownMs()), undefined, () => {
      this.start();
    });
  }

  /** An orderly end: branches may end first. */
  shutDown(): void {
    const life = this.#life;
    if (life === undefined) return;
    this.#options.trace.line(this.shard, "shuts down");
    void life.node.stop().then(() => {
      if (this.#life === life) this.crash("shut down");
    });
  }

  /** The database loses its sessions and comes back a little later. */
  crashDatabase(): void {
    if (!this.database.isUp) return;
    const { trace, scheduler, random, meanDownMs, tally } = this.#options;
    trace.line(this.shard, "DATABASE CRASH");
    tally.count("fault: database crashed");
    this.database.crash();
    scheduler.after(random.exponential(meanDownMs() / 2), undefined, () => {
      this.restartDatabase();
    });
  }

  restartDatabase(): void {
    if (this.database.isUp) return;
    this.#options.trace.line(this.shard, "database is up again");
    this.database.restart();
  }

  /** Somebody rolls back a prepared branch by hand. */
  sabotage(random: SeededRandom): void {
    const gids = this.database.preparedGids();
    if (gids.length > 0) this.database.sabotage(random.pick(gids));
  }

  #create(process: Incarnation): Life {
    const { clusterId, shard, scheduler, calls, random, participant, mutation, onTold } =
      this.#options;
    const clock = new NodeClock(
      scheduler,
      process,
      this.#clockCharacter,
      random.between(0, 1_000_000),
    );
    const hooks = new DatabaseFaults(
      scheduler,
      random.fork(`database ${this.#lives}`),
      this.#options.database,
      process,
      this.#options.faultsAreOver,
      this.scripted,
      this.#options.tally,
    );
    const connection = new MemoryShard(this.database, hooks, clock);
    const hosts = this.#options.coordinators();
    const turn = random.integer(hosts.length);
    const inquirer = new SimulatedInquirer(hosts, calls, shard, process, turn, onTold);
    const options: ParticipantNodeOptions = {
      ...{ clusterId, shardId: shard, clock },
      bootId: `${this.shard}-${this.#lives}-${random.token(6)}`,
      shard: mutatedShard(connection, mutation),
      inquirer: mutatedInquirer(inquirer, mutation),
      random: random.fork(`node ${this.#lives}`),
      logger: this.#logger(process),
      limits: participant,
    };
    const node = createParticipantNode(options);
    const handle = mutatedHandle(node, () => createParticipantNode(options), mutation);
    node.start();
    return {
      ...{ process, connection, node },
      door: {
        process,
        hello: node.hello(),
        receive: (linkId, request) => {
          this.#heard?.push(request);
          const receive = (): Promise<unknown> => handle(linkId, request);
          const { kind } = request;
          const isRun = kind === "execute" || kind === "executeOnePhase" || kind === "statement";
          return isRun ? this.database.during(request.carrierId, receive) : receive();
        },
        lost: (linkId) => {
          node.linkLost(linkId);
        },
      },
    };
  }

  /** Whatever is logged as an error is for people to look at: nothing may be, in a world without sabotage. */
  #logger(process: Incarnation): Logger {
    const { trace, tally, onIncident, onFailure } = this.#options;
    const line = (_fields: object, message: string): void => {
      if (!process.alive) return;
      trace.line(this.shard, message);
      tally.count(message);
    };
    return {
      debug: () => undefined,
      info: line,
      warn: line,
      error: (fields, message) => {
        line(fields, message);
        const { gid, sentence } = fields as { gid?: string; sentence?: string };
        if (gid === undefined) onFailure(new Violation("no error logged", message));
        else onIncident(`${message}: ${sentence ?? ""}`, gid);
      },
    };
  }
}
