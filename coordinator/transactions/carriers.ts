/**
 * The carriers this leader holds in memory, and the hand that performs what their state machines want.
 *
 * A carrier is held from before its first branch may exist until its outcome is known to be final: outcomes.ts builds on
 * that. The commit is proposed under the ballot the carrier was begun under, never under a later one.
 */
import type { OperationResult, TransactionResponse } from "../../shared/model/api.ts";
import { assert, unreachable } from "../../shared/model/assert.ts";
import type { ReachFailpoint } from "../../shared/model/failpoints.ts";
import { globalId } from "../../shared/model/global-id.ts";
import type {
  Ballot,
  CarrierId,
  ClusterId,
  ShardId,
  TransactionId,
} from "../../shared/model/ids.ts";
import type { Clock, Logger } from "../../shared/model/ports.ts";
import type { ExecuteRequest, Vote } from "../../shared/model/protocol.ts";
import type { ParticipantLinks } from "../transport/participant-link.ts";
import { type CarrierAnswer, inRequestOrder, soleAnswer } from "./answer.ts";
import type { DecidedBranch, EncodedCommand } from "./command.ts";
import { encodeCommand } from "./command.ts";
import type { DeadlockParties, SlowCarrier } from "./deadlocks/detector.ts";
import type { Delivery } from "./delivery.ts";
import type { Held, HeldAs, NewCarrier, OpenCarrier } from "./held-carrier.ts";
import type { Applied, LedgerOutcome } from "./ledger/ledger.ts";
import {
  awaitedShards,
  beginCarrier,
  stepCarrier,
  type AppliedOutcome,
  type CarrierEffect,
  type CarrierEvent,
  type PlannedBranch,
} from "./transaction.ts";

const CARRIER_LIMITS = {
  /** A commit command larger than this is not proposed: the transaction aborts as `result-too-large`. */
  maxCommandCharacters: 1024 * 1024,
  /** How long after the deadline a vote may still be on its way before its link request is given up. */
  voteGraceMs: 1_000,
  abortTimeoutMs: 5_000,
} as const;

export interface CarriersOptions {
  readonly clusterId: ClusterId;
  readonly links: ParticipantLinks;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly delivery: Delivery;
  /** False: certainly not proposed. */
  readonly propose: (command: EncodedCommand, ballot: Ballot) => boolean;
  readonly failpoint: ReachFailpoint;
}

export class Carriers implements DeadlockParties {
  readonly #options: CarriersOptions;
  readonly #held = new Map<CarrierId, Held>();
  readonly #byTransaction = new Map<TransactionId, CarrierId>();

  constructor(options: CarriersOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#held.size;
  }

  holds(carrierId: CarrierId): boolean {
    return this.#held.has(carrierId);
  }

  holdsTransaction(transactionId: TransactionId): boolean {
    return this.#byTransaction.has(transactionId);
  }

  /** What is held, for people who look. */
  *held(): Iterable<{
    readonly carrierId: CarrierId;
    readonly transactionId: TransactionId;
    readonly shards: readonly ShardId[];
  }> {
    for (const { carrierId, members } of this.#held.values()) {
      for (const { transactionId, operations } of members) {
        yield { carrierId, transactionId, shards: [...operations.keys()] };
      }
    }
  }

  /** Resolves when the carrier is no longer held: its outcome is final, and in the ledger if it is a commit. */
  whenFinal(carrierId: CarrierId): Promise<void> {
    const held = this.#held.get(carrierId);
    if (held === undefined) return Promise.resolve();
    return new Promise((resolve) => {
      held.onFinal.push(resolve);
    });
  }

  /** Executes and prepares on all shards in parallel. Never rejects. */
  run(carrier: NewCarrier): Promise<CarrierAnswer> {
    const { carrierId, members, whenVoted = () => undefined } = carrier;
    const shards = [...members[0].operations.keys()];
    assert(
      members.every(({ operations: { size } }) => size === shards.length),
      "the members of a carrier are on the same shards",
    );
    return this.#hold(carrier, {
      ...{ members, whenVoted },
      plan: shards.map((shard) => {
        return { shard, gid: globalId(this.#options.clusterId, carrierId, shard) };
      }),
      voteRequest: (branch) => this.#execution(carrier, branch),
    });
  }

  /** Prepares branches that are open, from where on it is as with `run`; resolves or rejects with the client's answer. */
  async prepare(carrier: OpenCarrier): Promise<TransactionResponse> {
    const { ballot, carrierId, branches, terms, transactionId } = carrier;
    const bootIds = new Map(branches.map(({ shard, bootId }) => [shard, bootId]));
    const operations = new Map(branches.map(({ shard }) => [shard, []]));
    const answer = await this.#hold(carrier, {
      ...{ plan: branches, members: [{ transactionId, operations, idempotency: null }] },
      whenVoted: () => undefined,
      voteRequest: ({ shard, gid }) => {
        const bootId = bootIds.get(shard) ?? "";
        const { timeoutMs } = terms;
        return { kind: "prepare", ballot, carrierId, bootId, gid, timeoutMs };
      },
    });
    return soleAnswer(answer, transactionId);
  }

  #hold(
    { ballot, carrierId, terms, release }: NewCarrier | OpenCarrier,
    heldAs: HeldAs,
  ): Promise<CarrierAnswer> {
    return new Promise((answer) => {
      const held: Held = {
        ...{ ballot, carrierId, terms, release, ...heldAs },
        beganAtMs: this.#options.clock.monotonicMs(),
        results: new Map(),
        answer,
        cancelDeadline: this.#options.clock.after(terms.timeoutMs, () => {
          this.#handle(held, { kind: "deadline" });
        }),
        onFinal: [],
        state: beginCarrier(heldAs.plan),
        unfinished: 0,
        placesGivenBack: false,
      };
      this.#held.set(carrierId, held);
      for (const { transactionId } of heldAs.members) {
        this.#byTransaction.set(transactionId, carrierId);
      }
      this.#options.failpoint("beforePrepare");
      for (const branch of heldAs.plan) this.#askForVote(held, branch);
    });
  }

  /** The leader of `ballot` was deposed: nothing that is not proposed may be proposed any more. */
  stoppedLeading(ballot: Ballot): void {
    for (const held of [...this.#held.values()]) {
      if (held.ballot === ballot) this.#handle(held, { kind: "leadershipLost" });
    }
  }

  applied(applied: Applied): void {
    switch (applied.kind) {
      case "committed":
        this.#decided(applied.carrier.carrierId, "committed");
        return;
      case "void":
        this.#decided(applied.carrierId, "void");
        return;
      case "barrier":
        for (const held of [...this.#held.values()]) {
          if (held.ballot < applied.floor) this.#decided(held.carrierId, "void");
        }
        return;
      case "completed":
        return;
      default:
        unreachable(applied);
    }
  }

  /** The ledger came from a snapshot: what was decided before it was never applied here, one by one. */
  restored(outcomeOf: (carrierId: CarrierId) => LedgerOutcome): void {
    for (const { carrierId } of [...this.#held.values()]) {
      const outcome = outcomeOf(carrierId);
      switch (outcome.kind) {
        case "committed":
        case "forgotten":
          this.#decided(carrierId, outcome.kind);
          break;
        case "aborted":
          this.#decided(carrierId, "void");
          break;
        case "undecided":
          break;
        default:
          unreachable(outcome);
      }
    }
  }

  /** They are held in the order in which they began. */
  slow(forMs: number): readonly SlowCarrier[] {
    const beforeMs = this.#options.clock.monotonicMs() - forMs;
    const slow: SlowCarrier[] = [];
    for (const { carrierId, beganAtMs, state } of this.#held.values()) {
      if (beganAtMs > beforeMs) break;
      if (state.kind !== "voting") continue;
      slow.push({ carrierId, shards: awaitedShards(state) });
    }
    return slow;
  }

  mayYield(carrierId: CarrierId): boolean {
    return this.#held.get(carrierId)?.state.kind === "voting";
  }

  yieldToOthers(carrierId: CarrierId): void {
    const held = this.#held.get(carrierId);
    if (held !== undefined) this.#handle(held, { kind: "deadlocked" });
  }

  #decided(carrierId: CarrierId, outcome: AppliedOutcome): void {
    const held = this.#held.get(carrierId);
    if (held !== undefined) this.#handle(held, { kind: "applied", outcome });
  }

  #execution(
    { ballot, carrierId, members, limits }: NewCarrier,
    { shard, gid }: PlannedBranch,
  ): ExecuteRequest {
    const bootId = this.#options.links.connected(shard)?.bootId ?? "";
    const execution = { ballot, carrierId, bootId, gid, ...limits };
    const ofShard = members.map(({ transactionId, operations, idempotency }) => {
      const own = operations.get(shard);
      assert(own !== undefined, "the members of a carrier are on the same shards");
      return { transactionId, operations: [...own], idempotencyKey: idempotency?.key ?? null };
    });
    return { kind: "execute", ...execution, members: ofShard };
  }

  #askForVote(held: Held, branch: PlannedBranch): void {
    const { links, logger } = this.#options;
    const { shard } = branch;
    const { carrierId, terms } = held;
    held.unfinished += 1;
    links
      .request(shard, held.voteRequest(branch), terms.timeoutMs + CARRIER_LIMITS.voteGraceMs)
      .then(
        (vote) => {
          this.#voted(held, shard, vote);
        },
        (error: unknown) => {
          logger.debug({ error, shard, carrierId }, "no vote");
          this.#handle(held, { kind: "unreachable", shard });
        },
      )
      .finally(() => {
        held.whenVoted(shard);
        this.#finishedOne(held);
      });
  }

  #voted(held: Held, shard: ShardId, vote: Vote): void {
    if (vote.kind !== "no") held.results.set(shard, vote.results);
    this.#handle(held, { kind: "voted", shard, vote });
  }

  #handle(held: Held, event: CarrierEvent): void {
    const { state, effects } = stepCarrier(held.state, event, held.terms);
    held.state = state;
    for (const effect of effects) this.#perform(held, effect);
    if (state.kind === "ended") this.#release(held);
  }

  #perform(held: Held, effect: CarrierEffect): void {
    switch (effect.kind) {
      case "proposeCommit":
        this.#options.failpoint("afterVotes");
        this.#propose(held, effect.branches);
        return;
      case "commitBranches":
        this.#options.failpoint("afterChosen");
        this.#commit(held, effect.branches);
        return;
      case "abortBranches":
        for (const branch of effect.branches) this.#abort(held, branch);
        return;
      case "answerCommitted":
        held.answer({ kind: "committed", responses: responses(held, effect.pending) });
        return;
      case "answerAborted":
        held.answer({ kind: "aborted", reason: effect.reason });
        return;
      case "answerUnknown":
        held.answer({ kind: "unknown" });
        return;
      default:
        unreachable(effect);
    }
  }

  #propose(held: Held, branches: readonly DecidedBranch[]): void {
    const { ballot, carrierId, members } = held;
    const command = encodeCommand({
      kind: "commit",
      carrierId,
      ballot,
      branches,
      members: members.map(({ transactionId, idempotency }, place) => {
        const results = idempotency === null ? null : resultsOf(held, place);
        return { transactionId, idempotency, results };
      }),
      atMs: this.#options.clock.wallMs(),
    });
    if (command.length > CARRIER_LIMITS.maxCommandCharacters) {
      this.#handle(held, { kind: "notProposed", reason: { kind: "resultTooLarge" } });
    } else if (!this.#options.propose(command, ballot)) {
      this.#handle(held, { kind: "notProposed", reason: { kind: "leadershipLost" } });
    }
  }

  #commit(held: Held, branches: readonly DecidedBranch[]): void {
    held.unfinished += branches.length;
    this.#options.delivery.deliver({ carrierId: held.carrierId, branches }, (shard, confirmed) => {
      this.#handle(held, { kind: "delivered", shard, confirmed });
      this.#finishedOne(held);
    });
  }

  /** Once: whoever is not reached asks by itself, and is told the same. */
  #abort(held: Held, { shard, gid }: PlannedBranch): void {
    held.unfinished += 1;
    this.#options.links
      .request(shard, { kind: "abort", gid }, CARRIER_LIMITS.abortTimeoutMs)
      .then(
        (reply) => {
          if (reply.kind !== "lost") return;
          this.#options.logger.error({ shard, gid, reply }, "an aborted branch is not aborted");
        },
        (error: unknown) => {
          this.#options.logger.debug({ error, shard, gid }, "abort not delivered");
        },
      )
      .finally(() => {
        this.#finishedOne(held);
      });
  }

  #finishedOne(held: Held): void {
    held.unfinished -= 1;
    assert(held.unfinished >= 0, "every branch message ends once");
    this.#release(held);
  }

  /** Ends the memory of a carrier whose outcome is final, and gives its places back when its messages have ended. */
  #release(held: Held): void {
    if (held.state.kind !== "ended") return;
    if (this.#held.delete(held.carrierId)) {
      for (const { transactionId } of held.members) this.#byTransaction.delete(transactionId);
      held.cancelDeadline();
      for (const notify of held.onFinal) notify();
    }
    if (held.unfinished > 0 || held.placesGivenBack) return;
    held.placesGivenBack = true;
    held.release();
  }
}

function resultsOf({ members, results }: Held, place: number): readonly OperationResult[] {
  const member = members[place];
  assert(member !== undefined, "a place is that of a member");
  return inRequestOrder(member.operations, (shard) => results.get(shard)?.[place]);
}

function responses(held: Held, pending: readonly ShardId[]): readonly TransactionResponse[] {
  return held.members.map(({ transactionId: id }, place) => {
    return { id, outcome: "committed", results: resultsOf(held, place), pendingShards: pending };
  });
}
