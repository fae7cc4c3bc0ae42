/**
 * A whole cluster on virtual time: hosts, databases, network, clients and checkers, put together from one seed.
 */
import type { PeerMessage } from "../../../coordinator/paxos/message.ts";
import { clusterId, nodeId, shardId, type ShardId } from "../../../shared/model/ids.ts";
import { Checkers } from "../checkers/checkers.ts";
import { Tally } from "../checkers/tally.ts";
import { Violation } from "../checkers/violation.ts";
import { Client } from "../clients/client.ts";
import { History, type Call } from "../clients/history.ts";
import { InteractiveApi } from "../clients/interactive-api.ts";
import { InteractiveClient } from "../clients/interactive-client.ts";
import { SimulatedApi } from "../clients/simulated-api.ts";
import { markOf, OPENING_VALUE } from "../clients/statements.ts";
import { itemsOf, Workload } from "../clients/workload.ts";
import { Faults } from "../faults.ts";
import type { Knobs } from "../knobs.ts";
import type { Mutation } from "../mutation.ts";
import { CoordinatorHost } from "./coordinator-host.ts";
import { ParticipantHost } from "./participant-host.ts";
import { RemoteCalls } from "./remote-call.ts";
import { Scheduler } from "./scheduler.ts";
import type { SeededRandom } from "./seeded-random.ts";
import type { LinkWorld } from "./simulated-links.ts";
import { SimulatedNetwork } from "./simulated-network.ts";
import { SimulatedPeers } from "./simulated-peers.ts";
import { Trace } from "./trace.ts";

const CLUSTER = clusterId("simulated");

export interface WorldOptions {
  readonly random: SeededRandom;
  readonly knobs: Knobs;
  readonly mutation: Mutation;
  /** Something that must not happen has happened. */
  readonly onFailure: (error: unknown) => void;
}

export class World {
  readonly knobs: Knobs;
  readonly scheduler = new Scheduler();
  readonly tally = new Tally();
  readonly trace: Trace;
  readonly network: SimulatedNetwork;
  readonly calls: RemoteCalls;
  readonly coordinators: readonly CoordinatorHost[];
  readonly participants: readonly ParticipantHost[];
  readonly faults: Faults;
  readonly checkers: Checkers;
  readonly history: History;
  /** What people would have been called about, by gid. */
  readonly incidents = new Map<string, string>();
  readonly #sabotaged = new Set<string>();
  readonly #options: WorldOptions;

  constructor(options: WorldOptions) {
    this.#options = options;
    const { knobs, random, mutation } = options;
    const { scheduler } = this;
    this.knobs = knobs;
    this.trace = new Trace(() => scheduler.nowMs);
    this.network = new SimulatedNetwork(
      scheduler,
      random.fork("network"),
      knobs.network,
      this.tally,
    );
    this.calls = new RemoteCalls(scheduler, this.network, random.fork("calls"), options.onFailure);
    const shards = Array.from({ length: knobs.shards }, (_, index) => shardId(`s${index + 1}`));
    this.participants = shards.map((shard) => this.#createParticipant(shard));
    this.checkers = new Checkers({
      ...{ trace: this.trace, tally: this.tally, size: knobs.coordinators },
      coordinators: () => this.coordinators,
      books: this.participants.map(({ database }) => database),
      openingTotal: knobs.shards * knobs.workload.itemsPerShard * OPENING_VALUE,
      voidsBelowFloor: mutation !== "no floor",
      onFailure: options.onFailure,
    });
    this.coordinators = this.#createCoordinators(shards);
    this.history = new History(this.tally, this.checkers);
    this.faults = new Faults(this, knobs, random.fork("faults"));
  }

  start(): void {
    const random = this.#options.random.fork("start");
    for (const host of [...this.coordinators, ...this.participants]) {
      this.scheduler.after(random.between(0, 200), undefined, () => {
        host.start();
      });
    }
    this.faults.start();
    for (const client of [...this.#createClients(), ...this.#createInteractiveClients()]) {
      client.run().catch((error: unknown) => {
        this.#options.onFailure(error);
      });
    }
  }

  /** Makes the databases ready to count how often a call is carried out. */
  prepareMarks({ name, writes }: Call): void {
    for (const { shard, database } of this.participants) {
      if (writes.includes(shard)) database.items.set(markOf(name), 0n);
    }
  }

  #createCoordinators(shards: readonly ShardId[]): readonly CoordinatorHost[] {
    const { knobs, random, mutation, onFailure } = this.#options;
    const { scheduler, network, trace, tally } = this;
    const linkWorld: LinkWorld = {
      ...{ scheduler, network, trace, tally, shards },
      random: random.fork("links"),
      onFailure,
      door: (shard) => this.participants.find((host) => host.shard === shard)?.door,
    };
    const peers = new SimulatedPeers(scheduler, network, random.fork("peers"), trace);
    const members = Array.from({ length: knobs.coordinators }, (_, index) => nodeId(index + 1));
    return members.map(
      (self) =>
        new CoordinatorHost({
          ...{ clusterId: CLUSTER, self, members, peers, mutation },
          ...{ paxos: knobs.paxos, disk: knobs.disk, clockSpread: knobs.clockSpread },
          world: linkWorld,
          random: random.fork(`coordinator ${self}`),
          crashAtEffectChance: () => this.#crashAtEffectChance(),
          crashAfterSendingChance: (message) => this.#crashAfterSendingChance(message),
          meanDownMs: () => knobs.faults.meanDownMs,
          onFatal: onFailure,
          watch: this.checkers,
          onIncident: (sentence, gid) => {
            this.#onIncident(sentence, gid);
          },
        }),
    );
  }

  #createParticipant(shard: ShardId): ParticipantHost {
    const { knobs, random, mutation, onFailure } = this.#options;
    const { scheduler, network, trace, tally, calls } = this;
    return new ParticipantHost({
      ...{ clusterId: CLUSTER, shard, mutation, scheduler, network, trace, tally, calls },
      random: random.fork(`participant ${shard}`),
      items: itemsOf(knobs.workload),
      clockSpread: knobs.clockSpread,
      participant: knobs.participant,
      database: knobs.database,
      coordinators: () => this.coordinators,
      faultsAreOver: () => this.faults.stopped,
      onBranchPrepared: (branch) => {
        this.checkers.branchPrepared(branch);
      },
      onBranchEnded: (branch) => {
        if (branch.how === "sabotaged") this.#sabotaged.add(branch.gid);
        this.checkers.branchEnded(branch);
      },
      onTold: (by, id, outcome) => {
        this.checkers.toldOfCarrier(by, id, outcome);
      },
      onIncident: (sentence, gid) => {
        this.#onIncident(sentence, gid);
      },
      crashAtEffectChance: () => this.#crashAtEffectChance(),
      meanDownMs: () => knobs.faults.meanDownMs,
      onFailure,
    });
  }

  /** Where nobody meddles with prepared branches there is nothing for people to look at. */
  #onIncident(sentence: string, gid: string): void {
    this.incidents.set(gid, sentence);
    if (!this.#sabotaged.has(gid)) {
      this.#options.onFailure(new Violation("no incident", `${gid}: ${sentence}`));
    }
  }

  /** Branches that somebody rolled back by hand although they were, or became, committed. */
  contradicted(): readonly string[] {
    return [...this.checkers.reference.decisions.values()].flatMap(({ outcome, command }) =>
      outcome === "committed"
        ? command.branches.flatMap(({ gid }) => (this.#sabotaged.has(gid) ? [gid] : []))
        : [],
    );
  }

  #crashAtEffectChance(): number {
    return this.faults.stopped ? 0 : this.knobs.faults.crashAtEffectChance;
  }

  #crashAfterSendingChance({ kind }: PeerMessage): number {
    const { faults } = this.knobs;
    if (this.faults.stopped) return 0;
    if (kind === "phase1b") return faults.crashAfterPromiseChance;
    if (kind === "phase2b") return faults.crashAfterAcceptChance;
    return kind === "phase2a" ? faults.crashAfterProposalChance : 0;
  }

  #createClients(): readonly Client[] {
    const { knobs, random } = this.#options;
    const { scheduler, trace, tally, history, coordinators: hosts } = this;
    const api = new SimulatedApi(hosts, this.calls, history, trace, this.checkers);
    const shards = this.participants.map(({ shard }) => shard);
    return Array.from({ length: knobs.workload.clients }, (_, index) => {
      const name = `c${index + 1}`;
      const workload = new Workload(knobs.workload, shards, random.fork(`workload ${name}`));
      return new Client({
        ...{ name, knobs: knobs.workload, scheduler, trace, hosts, api, history, workload, tally },
        random: random.fork(`client ${name}`),
        isStopping: () => this.faults.stopped,
        prepareMarks: (call) => {
          this.prepareMarks(call);
        },
      });
    });
  }

  #createInteractiveClients(): readonly InteractiveClient[] {
    const { knobs, random } = this.#options;
    const { scheduler, trace, tally, history, coordinators: hosts } = this;
    const api = new InteractiveApi(hosts, this.calls, history, trace);
    const shards = this.participants.map(({ shard }) => shard);
    return Array.from({ length: knobs.workload.interactiveClients }, (_, index) => {
      const name = `i${index + 1}`;
      const workload = new Workload(knobs.workload, shards, random.fork(`workload ${name}`));
      return new InteractiveClient({
        ...{ name, knobs: knobs.workload, scheduler, trace, hosts, api, history, workload, tally },
        random: random.fork(`client ${name}`),
        isStopping: () => this.faults.stopped,
        prepareMarks: (call) => {
          this.prepareMarks(call);
        },
      });
    });
  }
}
