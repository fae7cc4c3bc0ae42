/**
 * The interactive transactions that this leader holds in memory, their time limits, and the hand that performs what their
 * state machines want. Nothing of them is replicated before their commit is handed over to carriers.ts: a leader that is
 * lost takes them with it, and their branches roll back.
 *
 * A transaction is held from `begin` until its outcome is final, so that outcomes.ts may call aborted what is not held.
 */
import type { TransactionResponse } from "../../../shared/model/api.ts";
import { assert, unreachable } from "../../../shared/model/assert.ts";
import { SynodError } from "../../../shared/model/errors.ts";
import type { CarrierId, GlobalId, ShardId, TransactionId } from "../../../shared/model/ids.ts";
import type { BeginRequest, CommitBody, StepResponse } from "../../../shared/model/interactive.ts";
import type { StatementReply } from "../../../shared/model/protocol.ts";
import type { Carriers } from "../carriers.ts";
import type { TransactionCounts } from "../counts.ts";
import type { Agreements } from "../agreements.ts";
import type { ReleasePlaces } from "../admission.ts";
import type { DeadlockParties, SlowCarrier } from "../deadlocks/detector.ts";
import type { StepAnswer } from "../gateway.ts";
import { Branches, type InteractiveBranchesOptions, placesOn } from "./branches.ts";
import { Deferred } from "./deferred.ts";
import { asEnded, endError, failureError, objectionError, sentenceOf } from "./errors.ts";
import { FinishedTransactions } from "./finished.ts";
import {
  type HeldInteractive,
  isBeforeCommit,
  isLast,
  type NewInteractive,
} from "./held-interactive.ts";
import { HeldTransactions } from "./held-transactions.ts";
import { Keeper } from "./keeper.ts";
import {
  type AskedStep,
  awaitedShards,
  BEGUN,
  type EndReason,
  type InteractiveEffect,
  type InteractiveEvent,
  judgeStep,
  objectionToCommit,
  type Opening,
  stepInteractive,
} from "./machine.ts";
import { openOnSnapshot } from "./opening.ts";

/** Once each, by what its client is told or would be. */
const COUNTED_AS = "interactive two_phase";

export interface InteractiveTransactionsOptions extends InteractiveBranchesOptions {
  readonly carriers: Carriers;
  readonly counts: TransactionCounts;
  readonly agreements: Agreements;
  /** Up to INTERACTIVE_LIMITS.maxOpen. */
  readonly maxOpenPerClient: number;
}

export class InteractiveTransactions implements DeadlockParties {
  readonly #options: InteractiveTransactionsOptions;
  readonly #held = new HeldTransactions();
  readonly finished = new FinishedTransactions();
  readonly #keeper: Keeper;

  constructor(options: InteractiveTransactionsOptions) {
    this.#options = options;
    const { links, clock, logger } = options;
    this.#keeper = new Keeper({
      ...{ links, clock, logger },
      waiting: () => this.#held.waiting(),
      lost: (gid) => {
        this.#branchLost(gid);
      },
    });
  }

  /** Without those that carriers.ts holds by now. */
  get size(): number {
    return [...this.#held.beforeCommit()].length;
  }

  /** What is open, for people who look; without those that carriers.ts holds by now. */
  *open(): Iterable<{
    readonly transactionId: TransactionId;
    readonly shards: readonly ShardId[];
  }> {
    for (const { transactionId, branches } of this.#held.beforeCommit()) {
      yield { transactionId, shards: branches.all.map(({ shard }) => shard) };
    }
  }

  /** Of clients that have any. */
  get openByClient(): ReadonlyMap<string, number> {
    return this.#held.byClient();
  }

  find(id: TransactionId): HeldInteractive | undefined {
    return this.#held.find(id);
  }

  holds(carrierId: CarrierId): boolean {
    return this.#held.ofCarrier(carrierId) !== undefined;
  }

  /** On all shards that the transaction names; rejects as not started, at once where `begin` would. */
  async admit(
    { timeoutMs }: BeginRequest,
    shards: readonly ShardId[],
    client: string,
  ): Promise<ReleasePlaces> {
    const refusal = this.#held.refusal(client, this.#options.maxOpenPerClient);
    if (refusal !== undefined) throw refusal;
    return placesOn(shards, timeoutMs, this.#options);
  }

  /** Resolves when steps may be asked for. Rejects with a SynodError; then it has ended. */
  async begin(transaction: NewInteractive): Promise<void> {
    const { clock } = this.#options;
    const { request, ballot, carrierId, places, client } = transaction;
    const refusal = this.#held.refusal(client, this.#options.maxOpenPerClient);
    if (refusal !== undefined) {
      places?.();
      throw refusal;
    }
    const untilMs = clock.monotonicMs() + request.timeoutMs;
    const held: HeldInteractive = {
      ...transaction,
      branches: new Branches(this.#options, { ballot, carrierId, request, untilMs }),
      state: BEGUN,
      sentAtMs: 0,
      answer: new Deferred(),
      response: { seq: 0 },
      cancelIdle: () => undefined,
      cancelTooLong: clock.after(request.timeoutMs, () => {
        this.#handle(held, { kind: "ends", reason: { kind: "tooLong" } });
      }),
      committing: undefined,
      final: Promise.resolve(),
      rolledBack: Promise.resolve(),
    };
    this.#held.add(held);
    this.#keeper.start();
    if (places === undefined) this.#awaitClient(held);
    else {
      void this.#openOnSnapshot(held, places);
      await held.answer.promise;
    }
  }

  /** Whatever ends the transaction meanwhile has answered before this is over. */
  async #openOnSnapshot(held: HeldInteractive, places: ReleasePlaces): Promise<void> {
    const { shards = [] } = held.request;
    const opening: Opening = { kind: "opening", shards: shards as ShardId[] };
    held.state = opening;
    held.branches.open(opening.shards, places);
    const reason = await openOnSnapshot(held, opening, this.#options);
    this.#handle(held, reason === undefined ? { kind: "opened" } : { kind: "ends", reason });
  }

  /** Rejects with a `SynodError`. Only while it is open or runs a step. */
  async step(held: HeldInteractive, asked: AskedStep): Promise<StepAnswer> {
    const { state, transactionId } = held;
    assert(isBeforeCommit(state), "a step is asked for before the commit is");
    const verdict = judgeStep(state, asked);
    if (verdict === "repeated") return { response: await held.answer.promise, replayed: true };
    if (verdict !== null) throw objectionError(verdict, transactionId);
    const before = held.answer;
    const answer = new Deferred<StepResponse>();
    held.answer = answer;
    held.response = { seq: asked.seq };
    this.#handle(held, { kind: "stepAsked", asked });
    try {
      return { response: await answer.promise, replayed: false };
    } catch (error) {
      // What was not begun is not remembered: the last step is still the one before.
      if (held.answer === answer && !isLast(held, asked)) held.answer = before;
      throw error;
    }
  }

  /** Only while it is open or runs a step. */
  commit(held: HeldInteractive, terms: CommitBody): Promise<TransactionResponse> {
    const { state, transactionId } = held;
    assert(isBeforeCommit(state), "a commit is handed over once");
    const objection = objectionToCommit(state);
    if (objection !== null) throw objectionError(objection, transactionId);
    this.#handle(held, { kind: "commitAsked", terms });
    const response = { id: transactionId, outcome: "committed", results: [], pendingShards: [] };
    return held.committing ?? Promise.resolve(response as TransactionResponse);
  }

  /** Does nothing to one whose commit is handed over. */
  rollBack(held: HeldInteractive): Promise<void> {
    this.#handle(held, { kind: "ends", reason: { kind: "rolledBack" } });
    return held.rolledBack;
  }

  stoppedLeading(): void {
    this.#keeper.stop();
    this.#endWhere({ kind: "leadershipLost" }, () => true);
  }

  /** A link that breaks, or comes back: what was open behind it has been rolled back. */
  linkChanged(shard: ShardId): void {
    this.#endWhere(
      { kind: "participantLost", shard },
      ({ branches }) => branches.gidOn(shard) !== undefined,
    );
  }

  slow(forMs: number): readonly SlowCarrier[] {
    const beforeMs = this.#options.clock.monotonicMs() - forMs;
    return [...this.#held.all()].flatMap(({ carrierId, state, sentAtMs }) => {
      const shards = awaitedShards(state);
      return shards.length === 0 || sentAtMs > beforeMs ? [] : [{ carrierId, shards }];
    });
  }

  /** Not while it waits for its client: a wait that a shard tells of is over then. */
  mayYield(carrierId: CarrierId): boolean {
    const held = this.#held.ofCarrier(carrierId);
    return held !== undefined && awaitedShards(held.state).length > 0;
  }

  yieldToOthers(carrierId: CarrierId): void {
    const held = this.#held.ofCarrier(carrierId);
    if (held !== undefined) this.#handle(held, { kind: "ends", reason: { kind: "deadlock" } });
  }

  #branchLost(gid: GlobalId): void {
    for (const held of [...this.#held.all()]) {
      const branch = held.branches.all.find((other) => other.gid === gid);
      if (branch === undefined) continue;
      const { shard } = branch;
      this.#handle(held, { kind: "ends", reason: { kind: "participantLost", shard } });
    }
  }

  #endWhere(reason: EndReason, concerns: (held: HeldInteractive) => boolean): void {
    for (const held of [...this.#held.all()]) {
      if (concerns(held)) this.#handle(held, { kind: "ends", reason });
    }
  }

  #handle(held: HeldInteractive, event: InteractiveEvent): void {
    const before = held.state;
    const { state, effects } = stepInteractive(before, event);
    held.state = state;
    if (state !== before) {
      held.cancelIdle();
      if (state.kind === "open") this.#awaitClient(held);
      else if (state.kind !== "running") held.cancelTooLong();
    }
    for (const effect of effects) this.#perform(held, effect);
  }

  #awaitClient(held: HeldInteractive): void {
    held.cancelIdle = this.#options.clock.after(held.request.idleTimeoutMs, () => {
      this.#handle(held, { kind: "ends", reason: { kind: "idle" } });
    });
  }

  #perform(held: HeldInteractive, effect: InteractiveEffect): void {
    switch (effect.kind) {
      case "admit":
        void this.#admit(held, effect.shard);
        return;
      case "send":
        held.sentAtMs = this.#options.clock.monotonicMs();
        for (const shard of effect.shards) void this.#run(held, shard, effect);
        return;
      case "answerRan":
        held.answer.resolve(held.response);
        return;
      case "answerFailed":
        held.answer.reject(failureError(effect.shard, effect.refusal, held.transactionId));
        return;
      case "answerCommitted":
        this.#options.counts.committed(COUNTED_AS);
        this.finished.add(held.transactionId, { kind: "committed" });
        this.#forget(held);
        return;
      case "handOver":
        this.#handOver(held, effect.terms);
        return;
      case "end":
        this.#end(held, effect.reason, effect.shards);
        return;
      default:
        unreachable(effect);
    }
  }

  async #admit(held: HeldInteractive, shard: ShardId): Promise<void> {
    try {
      const place = await held.branches.admit(shard);
      if (held.state.kind !== "running") {
        place();
        return;
      }
      held.branches.open([shard], place);
      this.#handle(held, { kind: "admitted" });
    } catch (error) {
      const { answer } = held;
      this.#handle(held, { kind: "notAdmitted" });
      answer.reject(error);
    }
  }

  async #run(
    held: HeldInteractive,
    shard: ShardId,
    { asked, opens, outlivesFailure }: InteractiveEffect & { readonly kind: "send" },
  ): Promise<void> {
    const { seq, step } = asked;
    const action =
      step.kind === "operation" ? { kind: step.kind, operation: step.operation } : step;
    let reply: StatementReply;
    try {
      reply = await held.branches.run(shard, {
        ...{ seq, action, outlivesFailure },
        opens: opens === null ? null : { savepoints: [...opens] },
      });
    } catch (error) {
      this.#options.logger.debug({ error, shard, seq }, "no answer to a step");
      this.#handle(held, { kind: "ends", reason: { kind: "unreachable", shard } });
      return;
    }
    switch (reply.kind) {
      case "ran":
        if (reply.result !== null) {
          held.response = { seq, ...reply.result, fields: reply.fields };
        }
        this.#handle(held, { kind: "ran", shard });
        return;
      case "failed":
        this.#handle(held, { kind: "failed", shard, refusal: reply.refusal });
        return;
      case "no": {
        const { refusal } = reply;
        this.#handle(held, { kind: "ends", reason: { kind: "refused", shard, refusal } });
        return;
      }
      default:
        unreachable(reply);
    }
  }

  #handOver(held: HeldInteractive, terms: CommitBody): void {
    const { ballot, carrierId, transactionId, branches } = held;
    const { carriers, counts } = this.#options;
    const release = (): void => {
      branches.release();
    };
    const carrier = { ballot, carrierId, transactionId, release, terms, branches: branches.all };
    const committing = carriers.prepare(carrier).catch((error: unknown) => {
      throw error instanceof SynodError ? asEnded(error) : error;
    });
    committing.then(
      () => {
        counts.committed(COUNTED_AS);
      },
      (error: unknown) => {
        counts.failed(COUNTED_AS, error);
      },
    );
    held.committing = committing;
    held.final = carriers.whenFinal(carrierId).then(() => this.#final(held, committing));
  }

  /** The answer was given before the outcome was final, or with it. */
  async #final(held: HeldInteractive, committing: Promise<TransactionResponse>): Promise<void> {
    const { transactionId: id } = held;
    try {
      await committing;
      this.finished.add(id, { kind: "committed" });
    } catch (error) {
      const isDecided = error instanceof SynodError && error.outcome === "aborted";
      if (isDecided) this.finished.add(id, { kind: "aborted", cause: error.message });
    }
    this.#forget(held);
  }

  #end(held: HeldInteractive, reason: EndReason, shards: readonly ShardId[]): void {
    const { transactionId: id, branches, answer } = held;
    const { counts } = this.#options;
    const error = endError(reason, id);
    if (reason.kind === "rolledBack") counts.rolledBack(COUNTED_AS);
    else counts.failed(COUNTED_AS, error);
    this.finished.add(id, { kind: "aborted", cause: sentenceOf(reason) });
    held.rolledBack = branches.rollBack(shards);
    answer.reject(error);
    this.#forget(held);
  }

  #forget(held: HeldInteractive): void {
    held.cancelIdle();
    held.cancelTooLong();
    this.#held.delete(held);
    if (this.#held.size === 0) this.#keeper.stop();
  }
}
