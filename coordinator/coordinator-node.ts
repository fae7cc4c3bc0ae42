/**
 * A coordinator node assembled from its parts, on ports only: coordinator.ts gives it sockets, disks and clocks, the
 * simulator gives it simulated ones.
 *
 *   replica ──applied commands──▶ ledger ──what it did──▶ carriers, leadership
 *      │ leads / stopped leading                             │ served: delivery, recovery
 *      └──────────────────────────▶ barrier ─────────────────┘
 */
import { noFailpoints, type ReachFailpoint } from "../shared/model/failpoints.ts";
import type { ClusterId, ShardId } from "../shared/model/ids.ts";
import { ZERO_BALLOT, type Ballot, type Slot } from "../shared/model/ids.ts";
import { INTERACTIVE_LIMITS } from "../shared/model/interactive.ts";
import type { Clock, Logger, Random } from "../shared/model/ports.ts";
import type { LogStore } from "./log/log-store.ts";
import type { ChosenSlot } from "./paxos/message.ts";
import type { PaxosConfig } from "./paxos/state.ts";
import { Replica, type ReplicaEvents } from "./replication/replica.ts";
import type { SnapshotPolicy } from "./replication/snapshots.ts";
import { Agreements } from "./transactions/agreements.ts";
import { Admission, interactiveShare } from "./transactions/admission.ts";
import {
  AnsweredKeys,
  DEFAULT_ANSWERED_KEYS_LIMITS,
  type AnsweredKeysLimits,
} from "./transactions/answered-keys.ts";
import { Carriers } from "./transactions/carriers.ts";
import { ClockWatch } from "./transactions/clock-watch.ts";
import { decodeBatch, encodeCommand, type CompleteCommand } from "./transactions/command.ts";
import { TransactionCounts } from "./transactions/counts.ts";
import { DeadlockDetector } from "./transactions/deadlocks/detector.ts";
import { Delivery } from "./transactions/delivery.ts";
import type { NodeView, TransactionGateway } from "./transactions/gateway.ts";
import { Incidents } from "./transactions/incidents.ts";
import { InteractiveService } from "./transactions/interactive/interactive-service.ts";
import { InteractiveTransactions } from "./transactions/interactive/interactive-transactions.ts";
import { Lane, type LaneCounts } from "./transactions/lane/lane.ts";
import { Leadership } from "./transactions/leadership.ts";
import { Listing } from "./transactions/listing.ts";
import {
  DEFAULT_LEDGER_OPTIONS,
  Ledger,
  type LedgerOptions,
} from "./transactions/ledger/ledger.ts";
import { OnePhase } from "./transactions/one-phase.ts";
import { Outcomes } from "./transactions/outcomes.ts";
import { Reads } from "./transactions/reads.ts";
import { Recovery } from "./transactions/recovery.ts";
import { TransactionService } from "./transactions/transaction-service.ts";
import type { ParticipantLinks } from "./transport/participant-link.ts";
import type { PeerTransport } from "./transport/peer-transport.ts";

export interface CoordinatorNodeOptions {
  readonly clusterId: ClusterId;
  readonly paxos: PaxosConfig;
  readonly tickIntervalMs: number;
  readonly snapshots: SnapshotPolicy;
  readonly log: LogStore;
  readonly peers: PeerTransport;
  readonly links: ParticipantLinks;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** The node can no longer be trusted (failed log, broken invariant): the process must end. */
  readonly onFatal: (error: unknown) => void;
  readonly ledgerOptions?: LedgerOptions;
  readonly answeredKeys?: AnsweredKeysLimits;
  readonly maxOpenPerClient?: number;
  readonly failpoint?: ReachFailpoint;
}

/** What a node has counted since it started, and what it holds now; the rest is in its NodeView. */
export interface NodeMeasures {
  readonly counts: TransactionCounts;
  /** Decided, and not confirmed by every branch. */
  readonly undelivered: number;
  readonly oldestUndeliveredAtMs: number | undefined;
  /** Barriers applied: each is a leader that began to serve. */
  readonly leaderChanges: number;
  /** Interactive transactions, by client. */
  readonly openByClient: ReadonlyMap<string, number>;
  readonly lane: LaneCounts;
  readonly snapshots: { readonly taken: number; readonly lastBytes: number };
  readonly firstAnswers: KeyMemory & { readonly oldestAtMs: number | undefined };
  readonly answeredKeys: KeyMemory;
}

interface KeyMemory {
  readonly entries: number;
  readonly bytes: number;
}

export interface CoordinatorNode {
  readonly gateway: TransactionGateway;
  readonly ledger: Ledger;
  readonly replica: Replica;
  /** For people who watch. */
  measures(): NodeMeasures;
  start(): Promise<void>;
  stop(): Promise<void>;
}

export function createCoordinatorNode(options: CoordinatorNodeOptions): CoordinatorNode {
  return new Node(options);
}

class Node implements CoordinatorNode {
  readonly #options: CoordinatorNodeOptions;
  readonly ledger: Ledger;
  readonly replica: Replica;
  readonly gateway: TransactionGateway;
  readonly #leadership = new Leadership();
  readonly #incidents: Incidents;
  readonly #clockWatch: ClockWatch;
  readonly #delivery: Delivery;
  readonly #carriers: Carriers;
  readonly #interactive: InteractiveTransactions;
  readonly #onePhase: OnePhase;
  readonly #outcomes: Outcomes;
  readonly #recovery: Recovery;
  readonly #agreements: Agreements;
  readonly #reads: Reads;
  readonly #deadlocks: DeadlockDetector;
  readonly #lane: Lane;
  readonly #service: TransactionService;
  readonly #answeredKeys: AnsweredKeys;
  readonly #counts = new TransactionCounts();
  readonly #snapshots = { taken: 0, lastBytes: 0 };
  #leaderChanges = 0;
  /** What the log held at the start is applied. */
  #hasStarted = false;

  constructor(options: CoordinatorNodeOptions) {
    this.#options = options;
    const { links, clock, logger, random, clusterId, failpoint = noFailpoints } = options;
    this.ledger = new Ledger(options.ledgerOptions ?? DEFAULT_LEDGER_OPTIONS);
    this.#incidents = new Incidents(logger);
    this.#clockWatch = new ClockWatch(clock, logger);
    const incidents = this.#incidents;
    const leadership = this.#leadership;
    const { ledger } = this;
    this.replica = this.#createReplica();
    this.#delivery = new Delivery({
      ...{ links, clock, logger, incidents, failpoint },
      complete: (carrierIds) => this.#complete(carrierIds),
    });
    const delivery = this.#delivery;
    const propose = this.replica.submit.bind(this.replica);
    this.#carriers = new Carriers({
      ...{ clusterId, links, clock, logger, delivery, propose, failpoint },
    });
    const carriers = this.#carriers;
    const capacity = (shard: ShardId): number => links.connected(shard)?.maxBranches ?? 0;
    const admission = new Admission(capacity, clock);
    const [leader, stillLeads] = [
      () => this.replica.leader,
      (ballot: Ballot) => this.replica.stillLeads(ballot),
    ];
    const agreements = new Agreements({ clock, delivery, leader, stillLeads });
    this.#agreements = agreements;
    this.#interactive = new InteractiveTransactions({
      ...{ clusterId, links, clock, logger, carriers, admission, counts: this.#counts, agreements },
      maxOpenPerClient: options.maxOpenPerClient ?? INTERACTIVE_LIMITS.defaultMaxOpenPerClient,
      share: new Admission((shard) => interactiveShare(capacity(shard)), clock),
    });
    const interactive = this.#interactive;
    this.#onePhase = new OnePhase({ links, clock, logger });
    const onePhase = this.#onePhase;
    this.#outcomes = new Outcomes(
      ledger,
      leadership,
      (id) => carriers.holds(id) || interactive.holds(id),
    );
    const outcomes = this.#outcomes;
    this.#recovery = new Recovery({ links, outcomes, leadership, incidents, clock, logger });
    this.#reads = new Reads({ links, clock, logger, leadership, agreements, leader });
    const parties = [carriers, interactive];
    this.#deadlocks = new DeadlockDetector({ parties, links, clock, logger });
    const { answeredKeys = DEFAULT_ANSWERED_KEYS_LIMITS } = options;
    this.#answeredKeys = new AnsweredKeys(clock, answeredKeys);
    this.#lane = new Lane({ clock, random, leadership, carriers, admission, leader });
    this.#service = new TransactionService({
      ...{ links, clock, random, ledger, leadership, carriers, onePhase, delivery },
      ...{ admission, lane: this.#lane, answeredKeys: this.#answeredKeys, counts: this.#counts },
      ...{ leader, stillLeads },
      isInteractive: (id) => interactive.find(id) !== undefined,
    });
    this.gateway = this.#createGateway();
    links.onChange((shard) => {
      this.#interactive.linkChanged(shard);
      this.#delivery.linkChanged(shard);
      this.#recovery.linkChanged(shard);
    });
  }

  #createReplica(): Replica {
    const { paxos, tickIntervalMs, snapshots, log, peers, clock, random } = this.#options;
    return new Replica({
      ...{ config: paxos, tickIntervalMs, snapshots, log, peers, clock, random },
      events: this.#replicaEvents(),
    });
  }

  #replicaEvents(): ReplicaEvents {
    const { logger, onFatal: failed } = this.#options;
    return {
      apply: (chosen) => {
        this.#apply(chosen);
      },
      restore: (slot, chunks) => {
        this.#restore(slot, chunks);
      },
      image: () => this.ledger.snapshot(),
      leads: (ballot) => {
        this.#leads(ballot);
      },
      stoppedLeading: (ballot) => {
        this.#stoppedLeading(ballot);
      },
      snapshotTaken: (slot, bytes) => {
        logger.info({ slot, bytes }, "snapshot taken");
        this.#snapshots.taken += 1;
        this.#snapshots.lastBytes = bytes;
      },
      snapshotAbandoned: (source, why) => {
        logger.warn({ ...source, why }, "snapshot of a peer not fetched");
      },
      snapshotDamaged: (error) => {
        logger.error({ error }, "the own snapshot is damaged, a new one will take its place");
      },
      failed,
    };
  }

  #createGateway(): TransactionGateway {
    const listing = new Listing({
      ...{ ledger: this.ledger, leadership: this.#leadership, carriers: this.#carriers },
      ...{ onePhase: this.#onePhase, interactive: this.#interactive, delivery: this.#delivery },
      leader: () => this.replica.leader,
    });
    const { clock, random } = this.#options;
    return {
      interactive: new InteractiveService({
        ...{ clock, random, ledger: this.ledger, leadership: this.#leadership },
        ...{ carriers: this.#carriers, transactions: this.#interactive },
        pendingShards: (id) => this.#service.pendingShards(id),
        leader: () => this.replica.leader,
        stillLeads: (ballot) => this.replica.stillLeads(ballot),
      }),
      submit: (submission) => this.#service.submit(submission),
      read: (request) => this.#reads.read(request),
      status: (id) => this.#service.status(id),
      list: async (query, isVisible) => Promise.resolve(listing.page(query, isVisible)),
      outcomes: (inquiry) => this.#outcomes.answer(inquiry),
      view: () => this.#view(),
      awaitLeader: (timeoutMs) => this.#awaitLeader(timeoutMs),
    };
  }

  measures(): NodeMeasures {
    const { ledger } = this;
    const oldest = ledger.incomplete().next();
    return {
      counts: this.#counts,
      undelivered: ledger.incompleteCount,
      oldestUndeliveredAtMs: oldest.done === true ? undefined : oldest.value.atMs,
      leaderChanges: this.#leaderChanges,
      openByClient: this.#interactive.openByClient,
      lane: this.#lane.counts,
      snapshots: { ...this.#snapshots },
      firstAnswers: {
        entries: ledger.answerCount,
        bytes: ledger.answerBytes,
        oldestAtMs: ledger.oldestAnswerAtMs,
      },
      answeredKeys: { entries: this.#answeredKeys.size, bytes: this.#answeredKeys.bytes },
    };
  }

  async start(): Promise<void> {
    await this.replica.start();
    this.#hasStarted = true;
  }

  async stop(): Promise<void> {
    // Who no longer delivers must not speak as the leader: it would call nothing pending.
    this.#leadership.ended();
    this.#interactive.stoppedLeading();
    this.#delivery.stopLeading();
    this.#recovery.stopLeading();
    this.#deadlocks.stopLeading();
    await this.replica.stop();
  }

  #apply({ value }: ChosenSlot): void {
    for (const command of decodeBatch(value)) {
      const applied = this.ledger.apply(command);
      this.#agreements.applied(applied);
      this.#carriers.applied(applied);
      if (applied.kind === "barrier") this.#barrierApplied(applied.ballot, applied.floor);
      this.#clockWatch.applied(command.atMs, this.#isFollowing);
    }
  }

  #barrierApplied(ballot: Ballot, floor: Ballot): void {
    this.#leaderChanges += 1;
    if (!this.#leadership.barrierApplied(ballot, floor)) return;
    this.#clockWatch.closedLower();
    this.#serve();
  }

  /** What is applied was chosen just now: a leader may have found it in phase 1, and who catches up learns what is old. */
  get #isFollowing(): boolean {
    const { state } = this.replica;
    return this.#hasStarted && state?.role.kind === "follower" && state.catchUp === undefined;
  }

  /** What was applied without having been seen here may have decided what is still waited for. */
  #restore(slot: Slot, chunks: Iterable<Uint8Array>): void {
    this.ledger.restore(chunks);
    this.#carriers.restored((carrierId) => this.ledger.carrierOutcome(carrierId));
    this.#options.logger.info({ slot }, "snapshot restored");
  }

  /** Elected: the barrier is the first thing proposed, and until it is applied nothing else is done. */
  #leads(ballot: Ballot): void {
    this.#leadership.elected(ballot);
    this.#clockWatch.elected();
    const barrier = { kind: "barrier", ballot, atMs: this.#options.clock.wallMs() } as const;
    this.replica.submit(encodeCommand(barrier), ballot);
    this.#options.logger.info({ ballot }, "elected, closing lower ballots");
  }

  #serve(): void {
    this.#options.logger.info(
      { ballot: this.#leadership.ballot, incomplete: this.ledger.incompleteCount },
      "leading",
    );
    this.#delivery.startLeading(this.ledger.incomplete());
    this.#recovery.startLeading();
    this.#deadlocks.startLeading();
  }

  #stoppedLeading(ballot: Ballot): void {
    this.#leadership.ended();
    this.#delivery.stopLeading();
    this.#recovery.stopLeading();
    this.#deadlocks.stopLeading();
    this.#interactive.stoppedLeading();
    this.#carriers.stoppedLeading(ballot);
    this.#options.logger.info({ ballot }, "stopped leading");
  }

  #complete(carrierIds: CompleteCommand["carrierIds"]): boolean {
    const { ballot } = this.#leadership;
    if (ballot === undefined) return false;
    const atMs = this.#options.clock.wallMs();
    return this.replica.submit(encodeCommand({ kind: "complete", carrierIds, atMs }), ballot);
  }

  #view(): NodeView {
    const { replica } = this;
    const { state, chosenUpTo } = replica;
    const leader = replica.leader?.node;
    const role = state?.role.kind ?? "follower";
    const serves = this.#leadership.ballot !== undefined;
    const followsAnother = leader !== undefined && leader !== this.#options.paxos.self;
    return {
      role: role === "prober" ? "candidate" : role,
      leader,
      ballot: state?.promised ?? ZERO_BALLOT,
      serving: serves || followsAnother,
      chosenUpTo,
      appliedUpTo: chosenUpTo,
      inFlight: [this.#carriers, this.#lane, this.#interactive, this.#onePhase, this.#reads]
        .map(({ size }) => size)
        .reduce((sum, size) => sum + size),
      incidents: this.#incidents.list(),
    };
  }

  async #awaitLeader(timeoutMs: number): Promise<boolean> {
    const { clock, tickIntervalMs } = this.#options;
    const deadlineMs = clock.monotonicMs() + timeoutMs;
    while (!this.#view().serving) {
      const leftMs = deadlineMs - clock.monotonicMs();
      if (leftMs <= 0) return false;
      await new Promise<void>((resolve) => {
        clock.after(Math.min(leftMs, tickIntervalMs), resolve);
      });
    }
    return true;
  }
}
