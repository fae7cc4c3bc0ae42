/**
 * The front of interactive transactions: gives ids, finds what a call is about, and answers for what is no longer held.
 *
 * What a call about an ended transaction is told comes from the ledger, as for any other: committed there is committed; below
 * the floor, or of this leader's own ballot and not held, it is aborted for ever. So a commit may be asked for again and
 * again, whoever leads. Only what read, and left nothing behind, is committed as long as its leader remembers it, and
 * counts as aborted afterwards.
 */
import { LIMITS, type TransactionResponse } from "../../../shared/model/api.ts";
import { assert, unreachable } from "../../../shared/model/assert.ts";
import type { SynodError } from "../../../shared/model/errors.ts";
import {
  type Ballot,
  carrierId,
  onePhaseShard,
  type Origin,
  originOf,
  transactionId,
  type ShardId,
  type TransactionId,
} from "../../../shared/model/ids.ts";
import type {
  BeginRequest,
  BeginResponse,
  CommitBody,
  RollbackResponse,
} from "../../../shared/model/interactive.ts";
import type { Clock, Random } from "../../../shared/model/ports.ts";
import type { Carriers } from "../carriers.ts";
import {
  type InteractiveGateway,
  type LeaderHint,
  NotLeader,
  type StepAnswer,
} from "../gateway.ts";
import type { Leadership } from "../leadership.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { refuseNotGiven } from "../not-given.ts";
import { ownedId, type Owner } from "../owner.ts";
import {
  alreadyCommitted,
  expired,
  notInteractive,
  stillDeciding,
  UNKNOWN_HERE,
} from "./errors.ts";
import { type HeldInteractive, isBeforeCommit } from "./held-interactive.ts";
import type { InteractiveTransactions } from "./interactive-transactions.ts";
import type { AskedStep } from "./machine.ts";

export interface InteractiveServiceOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly ledger: Ledger;
  readonly leadership: Leadership;
  readonly carriers: Carriers;
  readonly transactions: InteractiveTransactions;
  readonly pendingShards: (id: TransactionId) => readonly string[];
  readonly leader: () => LeaderHint | undefined;
  /** Proves that nobody led under a higher ballot before the call. */
  readonly stillLeads: (ballot: Ballot) => Promise<boolean>;
}

type Past =
  | { readonly kind: "committed" }
  | { readonly kind: "aborted"; readonly cause: string }
  /** Older than what is kept. */
  | { readonly kind: "forgotten" }
  | { readonly kind: "notGiven"; readonly origin: Origin };

export class InteractiveService implements InteractiveGateway {
  readonly #options: InteractiveServiceOptions;

  constructor(options: InteractiveServiceOptions) {
    this.#options = options;
  }

  async begin(request: BeginRequest, owner?: Owner): Promise<BeginResponse> {
    const { clock, random, leadership, leader, transactions } = this.#options;
    const { ballot } = leadership;
    if (ballot === undefined) throw new NotLeader(leader());
    const { timeoutMs, idleTimeoutMs, shards } = request;
    const client = owner?.client ?? "";
    const places = shards && (await transactions.admit(request, shards as ShardId[], client));
    if (leadership.ballot !== ballot) {
      places?.();
      throw new NotLeader(leader());
    }
    const carrier = carrierId(ballot, leadership.nextSequence());
    const sequence = leadership.nextSequence();
    const id = ownedId(owner, random, (tail) => transactionId(ballot, sequence, tail));
    const expiresAt = new Date(clock.wallMs() + timeoutMs).toISOString();
    try {
      await transactions.begin({
        ...{ ballot, carrierId: carrier, transactionId: id, request, places },
        client,
      });
    } catch (error) {
      throw leadership.ballot === ballot ? error : new NotLeader(leader());
    }
    return { id, expiresAt, idleTimeoutMs, timeoutMs };
  }

  async step(id: TransactionId, asked: AskedStep): Promise<StepAnswer> {
    const { transactions } = this.#options;
    const held = transactions.find(id);
    if (held !== undefined && isBeforeCommit(held.state)) return transactions.step(held, asked);
    if (held !== undefined) await this.#decided(held, LIMITS.defaultTimeoutMs);
    throw await this.#refusal(id);
  }

  async commit(id: TransactionId, terms: CommitBody): Promise<TransactionResponse> {
    const { transactions } = this.#options;
    const held = transactions.find(id);
    if (held !== undefined && isBeforeCommit(held.state)) return transactions.commit(held, terms);
    if (held !== undefined) await this.#decided(held, terms.timeoutMs);
    if (this.#past(id).kind !== "committed") throw await this.#refusal(id);
    const pendingShards = this.#options.pendingShards(id);
    return { id, outcome: "committed", results: [], pendingShards };
  }

  async rollBack(id: TransactionId): Promise<RollbackResponse> {
    const { transactions } = this.#options;
    const held = transactions.find(id);
    if (held !== undefined && isBeforeCommit(held.state)) await transactions.rollBack(held);
    else if (held !== undefined) await this.#decided(held, LIMITS.defaultTimeoutMs);
    if (this.#past(id).kind === "aborted") return { id, outcome: "aborted" };
    throw await this.#refusal(id);
  }

  /** Of a commit that was handed over. Rejects with `outcome-unknown` when the decision takes longer than that. */
  async #decided({ transactionId: id, final }: HeldInteractive, timeoutMs: number): Promise<void> {
    const { clock, ledger } = this.#options;
    await new Promise<void>((resolve, reject) => {
      const cancel = clock.after(timeoutMs, () => {
        if (ledger.transactionOutcome(id).kind === "committed") resolve();
        else reject(stillDeciding(id));
      });
      void final.then(() => {
        cancel();
        resolve();
      });
    });
  }

  /** Rejects as `#past` throws, and where nobody was given the id. */
  async #refusal(id: TransactionId): Promise<SynodError> {
    const past = this.#past(id);
    switch (past.kind) {
      case "committed":
        return alreadyCommitted(id);
      case "aborted":
        return expired(id, past.cause);
      case "forgotten":
        return stillDeciding(id);
      case "notGiven":
        return refuseNotGiven(past.origin, this.#options);
      default:
        return unreachable(past);
    }
  }

  /** Of a transaction that is not held. Throws `NotLeader` where only the leader can tell. */
  #past(id: TransactionId): Past {
    const { transactions, ledger, carriers, leadership, leader } = this.#options;
    if (onePhaseShard(id) !== undefined) throw notInteractive(id);
    const finished = transactions.finished.find(id);
    if (finished !== undefined) return finished;
    const outcome = ledger.transactionOutcome(id);
    switch (outcome.kind) {
      case "committed":
      case "forgotten":
        return outcome;
      case "aborted":
        return { kind: "aborted", cause: UNKNOWN_HERE };
      case "undecided": {
        // A one-shot transaction that runs.
        if (carriers.holdsTransaction(id)) throw notInteractive(id);
        if (leadership.ballot === undefined) throw new NotLeader(leader());
        const origin = originOf(id);
        if (!leadership.mayHaveGiven(origin)) return { kind: "notGiven", origin };
        assert(origin.ballot === leadership.ballot, "below the floor nothing is undecided");
        return { kind: "aborted", cause: UNKNOWN_HERE };
      }
      default:
        return unreachable(outcome);
    }
  }
}
