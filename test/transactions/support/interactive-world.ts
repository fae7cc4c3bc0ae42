/**
 * Two participants on twins of databases, and leaders of interactive transactions, one after the other, over one ledger that
 * applies at once what is proposed: everything but consensus, with time in the test's hand.
 */
import { Admission, interactiveShare } from "../../../coordinator/transactions/admission.ts";
import { Agreements } from "../../../coordinator/transactions/agreements.ts";
import {
  AnsweredKeys,
  DEFAULT_ANSWERED_KEYS_LIMITS,
} from "../../../coordinator/transactions/answered-keys.ts";
import { Carriers } from "../../../coordinator/transactions/carriers.ts";
import { decodeBatch, encodeBatch } from "../../../coordinator/transactions/command.ts";
import { TransactionCounts } from "../../../coordinator/transactions/counts.ts";
import { Delivery } from "../../../coordinator/transactions/delivery.ts";
import { Incidents } from "../../../coordinator/transactions/incidents.ts";
import { InteractiveService } from "../../../coordinator/transactions/interactive/interactive-service.ts";
import { InteractiveTransactions } from "../../../coordinator/transactions/interactive/interactive-transactions.ts";
import type { Step } from "../../../coordinator/transactions/interactive/machine.ts";
import { Lane } from "../../../coordinator/transactions/lane/lane.ts";
import { Listing } from "../../../coordinator/transactions/listing.ts";
import { Leadership } from "../../../coordinator/transactions/leadership.ts";
import { Ledger } from "../../../coordinator/transactions/ledger/ledger.ts";
import { OnePhase } from "../../../coordinator/transactions/one-phase.ts";
import { TransactionService } from "../../../coordinator/transactions/transaction-service.ts";
import type { StepAnswer } from "../../../coordinator/transactions/gateway.ts";
import type { Owner } from "../../../coordinator/transactions/owner.ts";
import {
  LinkDown,
  LinkLost,
  type ParticipantLinks,
  type ReplyTo,
} from "../../../coordinator/transport/participant-link.ts";
import {
  createParticipantNode,
  DEFAULT_PARTICIPANT_LIMITS,
  type ParticipantNode,
} from "../../../participant/participant-node.ts";
import { MemoryDatabase } from "../../../participant/shard/memory-database.ts";
import { MemoryShard } from "../../../participant/shard/memory-shard.ts";
import { SynodError } from "../../../shared/model/errors.ts";
import { noFailpoints } from "../../../shared/model/failpoints.ts";
import {
  clusterId,
  parseTransactionId,
  type ShardId,
  shardId,
  type TransactionId,
} from "../../../shared/model/ids.ts";
import { BeginRequest, CommitBody, INTERACTIVE_LIMITS } from "../../../shared/model/interactive.ts";
import type { BranchRequest, ParticipantHello } from "../../../shared/model/protocol.ts";
import { silent, TestHooks, TestInquirer } from "../../participant/node-fixture.ts";
import { ADD, operation, READ } from "../../participant/shard-contract.ts";
import { fixedRandom, TestClock } from "../../participant/test-clock.ts";
import { roundBallot } from "./commands.ts";

const CLUSTER = clusterId("test");
export const S1 = shardId("s1");
export const S2 = shardId("s2");

export const add = (shard: ShardId, amount: number, id = "a"): Step => ({
  kind: "operation",
  shard,
  operation: operation(ADD, amount, id),
});
export const read = (shard: ShardId, id = "a"): Step => ({
  kind: "operation",
  shard,
  operation: operation(READ, id),
});

interface Place {
  readonly database: MemoryDatabase;
  readonly hooks: TestHooks;
  readonly node: ParticipantNode;
}

/** Links of whoever leads now: all share the connections. */
class WorldLinks implements ParticipantLinks {
  readonly #places: ReadonlyMap<ShardId, Place>;
  readonly #down = new Set<ShardId>();
  readonly #notify: ((shard: ShardId) => void)[] = [];
  readonly sent: (BranchRequest & { readonly shard: ShardId })[] = [];
  /** Requests of this kind are delivered, but their replies never come. */
  mute: BranchRequest["kind"] | undefined;

  constructor(places: ReadonlyMap<ShardId, Place>) {
    this.#places = places;
  }

  get shards(): readonly ShardId[] {
    return [...this.#places.keys()];
  }

  connected(shard: ShardId): ParticipantHello | undefined {
    return this.#down.has(shard) ? undefined : this.#places.get(shard)?.node.hello();
  }

  async request<Request extends BranchRequest>(
    shard: ShardId,
    request: Request,
  ): Promise<ReplyTo<Request>> {
    const place = this.#places.get(shard);
    if (place === undefined || this.#down.has(shard)) throw new LinkDown(`${shard} is down`);
    this.sent.push({ ...request, shard });
    const reply = await place.node.handle(`link to ${shard}`, request);
    if (this.mute === request.kind) throw new LinkLost(`no reply from ${shard}`);
    return reply as ReplyTo<Request>;
  }

  onChange(notify: (shard: ShardId) => void): void {
    this.#notify.push(notify);
  }

  cut(shard: ShardId): void {
    this.#down.add(shard);
    this.#places.get(shard)?.node.linkLost(`link to ${shard}`);
    for (const notify of this.#notify) notify(shard);
  }

  mend(shard: ShardId): void {
    this.#down.delete(shard);
    for (const notify of this.#notify) notify(shard);
  }
}

export interface Client {
  readonly id: TransactionId;
  readonly step: (seq: number, step: Step, body?: string) => Promise<StepAnswer>;
  readonly commit: (terms?: object) => ReturnType<InteractiveService["commit"]>;
  readonly rollBack: () => ReturnType<InteractiveService["rollBack"]>;
}

export class Leader {
  readonly service: InteractiveService;
  readonly oneShots: TransactionService;
  readonly lane: Lane;
  readonly transactions: InteractiveTransactions;
  readonly carriers: Carriers;
  readonly counts = new TransactionCounts();
  readonly #leadership = new Leadership();
  readonly #delivery: Delivery;
  readonly #ledger: Ledger;
  readonly #round: number;
  /** Proposals wait until `apply` while this is set. */
  holdsProposals = false;
  readonly #proposed: (() => void)[] = [];

  constructor(world: InteractiveWorld, round: number) {
    const { links, clock, ledger, maxBranches } = world;
    this.#round = round;
    this.#ledger = ledger;
    const common = { links, clock, logger: silent };
    const ballot = roundBallot(round);
    this.#delivery = new Delivery({
      ...{ ...common, incidents: new Incidents(silent), failpoint: noFailpoints },
      complete: () => true,
    });
    const delivery = this.#delivery;
    const agreements = new Agreements({
      ...{ clock, delivery, leader: () => undefined },
      stillLeads: () => Promise.resolve(!world.isReplaced && this.#leadership.ballot !== undefined),
    });
    this.carriers = new Carriers({
      ...{ ...common, clusterId: CLUSTER, delivery, failpoint: noFailpoints },
      propose: (command) => {
        if (this.#leadership.ballot === undefined) return false;
        this.#proposed.push(() => {
          for (const one of decodeBatch(encodeBatch([command]))) {
            const applied = ledger.apply(one);
            agreements.applied(applied);
            this.carriers.applied(applied);
          }
        });
        if (!this.holdsProposals) {
          queueMicrotask(() => {
            this.apply();
          });
        }
        return true;
      },
    });
    const { carriers } = this;
    const admission = new Admission(() => maxBranches, clock);
    this.transactions = new InteractiveTransactions({
      ...{ ...common, clusterId: CLUSTER, carriers, admission, counts: this.counts },
      ...{ agreements, maxOpenPerClient: world.maxOpenPerClient },
      share: new Admission(() => interactiveShare(maxBranches), clock),
    });
    const { transactions } = this;
    links.onChange((shard) => {
      transactions.linkChanged(shard);
    });
    const leader = (): undefined => undefined;
    const leading = { random: fixedRandom, leadership: this.#leadership, leader };
    const stillLeads = (): Promise<boolean> => Promise.resolve(!world.isReplaced);
    this.lane = new Lane({ clock, carriers, admission, ...leading });
    this.oneShots = new TransactionService({
      ...{ ...common, ...leading, ledger, carriers, delivery, admission, stillLeads },
      lane: this.lane,
      onePhase: new OnePhase(common),
      answeredKeys: new AnsweredKeys(clock, DEFAULT_ANSWERED_KEYS_LIMITS),
      counts: this.counts,
      isInteractive: (id) => transactions.find(id) !== undefined,
    });
    this.service = new InteractiveService({
      ...{ ...leading, clock, ledger, stillLeads },
      ...{ carriers, transactions, pendingShards: () => [] },
    });
    this.#leadership.elected(ballot);
    this.carriers.applied(ledger.apply({ kind: "barrier", ballot, atMs: 0 }));
    this.#leadership.barrierApplied(ballot, ballot);
    delivery.startLeading([]);
  }

  get listing(): Listing {
    const { carriers, transactions: interactive } = this;
    return new Listing({
      ...{ ledger: this.#ledger, leadership: this.#leadership, carriers, interactive },
      ...{ delivery: this.#delivery, onePhase: { active: () => new Set() } },
      leader: () => undefined,
    });
  }

  apply(): void {
    for (const apply of this.#proposed.splice(0)) apply();
  }

  /** It hears that it does not lead any more. */
  depose(): void {
    this.#leadership.ended();
    this.#delivery.stopLeading();
    this.transactions.stoppedLeading();
    this.carriers.stoppedLeading(roundBallot(this.#round));
  }

  async begin(request: object = {}, owner?: Owner): Promise<Client> {
    const { id } = await this.service.begin(BeginRequest.parse(request), owner);
    return this.client(parseTransactionId(id)!);
  }

  client(id: TransactionId): Client {
    const { service } = this;
    return {
      id,
      step: (seq, step, body = JSON.stringify(step)) =>
        service.step(id, { seq, step, fingerprint: body }),
      commit: (terms = {}) => service.commit(id, CommitBody.parse(terms)),
      rollBack: () => service.rollBack(id),
    };
  }
}

export class InteractiveWorld {
  readonly clock = new TestClock();
  readonly ledger = new Ledger();
  readonly links: WorldLinks;
  readonly maxBranches: number;
  /** A leader that was replaced finds that out when it asks. */
  isReplaced = false;
  readonly maxOpenPerClient: number;
  readonly places: ReadonlyMap<ShardId, Place>;
  #round = 0;

  constructor(
    maxBranches = 8,
    maxOpenPerClient: number = INTERACTIVE_LIMITS.defaultMaxOpenPerClient,
  ) {
    this.maxBranches = maxBranches;
    this.maxOpenPerClient = maxOpenPerClient;
    this.places = new Map([S1, S2].map((shard) => [shard, this.#place(shard)]));
    this.links = new WorldLinks(this.places);
  }

  #place(shardOf: ShardId): Place {
    const { clock, maxBranches } = this;
    const database = new MemoryDatabase();
    for (const id of ["a", "b"]) database.items.set(id, 100n);
    const hooks = new TestHooks();
    const shard = new MemoryShard(database, hooks, clock);
    const node = createParticipantNode({
      ...{ clusterId: CLUSTER, shardId: shardOf, bootId: `boot of ${shardOf}`, shard, clock },
      ...{ inquirer: new TestInquirer(), random: fixedRandom, logger: silent },
      limits: { ...DEFAULT_PARTICIPANT_LIMITS, drainTimeoutMs: 0, maxBranches },
    });
    return { database, hooks, node };
  }

  /** Under a higher ballot than whoever led before. */
  lead(): Leader {
    this.#round += 1;
    return new Leader(this, this.#round);
  }

  hooksOf(shard: ShardId): TestHooks {
    return this.places.get(shard)!.hooks;
  }

  /** What `a` and `b` hold on each shard, as committed. */
  get books(): readonly (readonly bigint[])[] {
    return [...this.places.values()].map(({ database }) => [...database.items.values()]);
  }

  /** Sessions that are open on both shards, and what is prepared there. */
  get left(): readonly number[] {
    return [...this.places.values()].map(
      ({ database }) => database.processes.size + database.prepared.size,
    );
  }
}

export const UNTOUCHED = [
  [100n, 100n],
  [100n, 100n],
];

/** What a call is refused with. */
export async function problem(call: Promise<unknown>): Promise<object> {
  try {
    return { answered: await call };
  } catch (error) {
    if (!(error instanceof SynodError)) throw error;
    const { code, outcome, message, detail } = error;
    return { code, outcome, message, ...detail };
  }
}

export async function transfer(client: Client): Promise<void> {
  await client.step(1, add(S1, -10));
  await client.step(2, add(S2, 10));
}
