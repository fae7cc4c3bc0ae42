/**
 * The replicated state machine: what happened to every transaction. Commands come in slot order, the same on every
 * replica; the same commands give the same ledger.
 *
 *   barrier{b}    floor = max(floor, b)
 *   commit{b}     b < floor → void, for ever (all members are aborted)
 *                 already decided → the first decision stands
 *                 a member's idempotency key already answered for another transaction → void
 *                 else → committed, with all members
 *   complete      the branches are forgotten; that it committed is kept
 *
 * Why the floor: a commit that only a minority accepted can surface and be chosen after a newer leader has told a
 * participant "no commit known, abort". With the floor that late commit is void on every replica. So, once a leader's
 * own barrier is applied, absence below the floor is a final "aborted". ARCHITECTURE.md has the whole argument.
 */
import { assert, unreachable } from "../../../shared/model/assert.ts";
import type { Ballot, CarrierId, TransactionId } from "../../../shared/model/ids.ts";
import { carrierOrigin, transactionOrigin, ZERO_BALLOT } from "../../../shared/model/ids.ts";
import { SequenceSet } from "../../../shared/model/sequence-set.ts";
import type { Command, CommitCommand } from "../command.ts";
import { Answers, DEFAULT_ANSWER_LIMITS, type AnswerLimits, type FirstAnswer } from "./answers.ts";

export interface LedgerOptions {
  readonly answers: AnswerLimits;
  /** How long "it committed" is kept after the last completion under its ballot. */
  readonly decisionRetentionMs: number;
  /**
   * Always true in production. Tests switch the floor rule off to show that they would notice its absence.
   */
  readonly voidsCommitsBelowFloor: boolean;
}

export const DEFAULT_LEDGER_OPTIONS: LedgerOptions = {
  answers: DEFAULT_ANSWER_LIMITS,
  decisionRetentionMs: 24 * 60 * 60 * 1000,
  voidsCommitsBelowFloor: true,
};

/** What applying a command did, for those who wait for it. */
export type Applied =
  | { readonly kind: "barrier"; readonly ballot: Ballot; readonly floor: Ballot }
  | { readonly kind: "committed"; readonly carrier: CommitCommand }
  | { readonly kind: "void"; readonly carrierId: CarrierId }
  | { readonly kind: "completed"; readonly carrierIds: readonly CarrierId[] };

/** What the ledger knows of a carrier or a transaction. */
export type LedgerOutcome =
  | { readonly kind: "committed"; readonly carrier: CommitCommand | undefined }
  | { readonly kind: "aborted" }
  /** Its leader may still commit it. */
  | { readonly kind: "undecided" }
  /** Older than what is kept: no claim either way. */
  | { readonly kind: "forgotten" };

export class Ledger {
  readonly #options: LedgerOptions;
  readonly #incomplete = new Map<CarrierId, CommitCommand>();
  /** Members of incomplete carriers. */
  readonly #carrierOf = new Map<TransactionId, CarrierId>();
  readonly #committed = new SequenceSet();
  readonly #answers: Answers;
  /** Ballots with commits, and the time of the last commit or completion: what retention goes by. */
  readonly #lastActiveAtMs = new Map<Ballot, number>();
  #floor: Ballot = ZERO_BALLOT;
  #forgottenUpTo: Ballot = ZERO_BALLOT;

  constructor(options: LedgerOptions = DEFAULT_LEDGER_OPTIONS) {
    this.#options = options;
    this.#answers = new Answers(options.answers);
  }

  get floor(): Ballot {
    return this.#floor;
  }

  /** Committed carriers whose branches have not all confirmed, oldest first. */
  incomplete(): IterableIterator<CommitCommand> {
    return this.#incomplete.values();
  }

  get incompleteCount(): number {
    return this.#incomplete.size;
  }

  get answerCount(): number {
    return this.#answers.size;
  }

  firstAnswer(key: string): FirstAnswer | undefined {
    return this.#answers.find(key);
  }

  isExpiredKey(key: string): boolean {
    return this.#answers.isExpired(key);
  }

  carrierOutcome(id: CarrierId): LedgerOutcome {
    const origin = carrierOrigin(id);
    assert(origin !== undefined, "a carrier id names its origin");
    return this.#outcome(origin.ballot, origin.sequence, this.#incomplete.get(id));
  }

  transactionOutcome(id: TransactionId): LedgerOutcome {
    const origin = transactionOrigin(id);
    assert(origin !== undefined, "a transaction id names its origin");
    const carrierId = this.#carrierOf.get(id);
    const carrier = carrierId === undefined ? undefined : this.#incomplete.get(carrierId);
    return this.#outcome(origin.ballot, origin.sequence, carrier);
  }

  #outcome(ballot: Ballot, sequence: number, carrier: CommitCommand | undefined): LedgerOutcome {
    if (carrier !== undefined || this.#committed.has(ballot, sequence)) {
      return { kind: "committed", carrier };
    }
    if (ballot <= this.#forgottenUpTo) return { kind: "forgotten" };
    return ballot < this.#floor ? { kind: "aborted" } : { kind: "undecided" };
  }

  apply(command: Command): Applied {
    switch (command.kind) {
      case "barrier":
        if (command.ballot > this.#floor) this.#floor = command.ballot;
        this.#forget(command.atMs);
        return { kind: "barrier", ballot: command.ballot, floor: this.#floor };
      case "commit":
        return this.#commit(command);
      case "complete":
        for (const carrierId of command.carrierIds) this.#complete(carrierId, command.atMs);
        this.#forget(command.atMs);
        return { kind: "completed", carrierIds: command.carrierIds };
      default:
        return unreachable(command);
    }
  }

  #commit(command: CommitCommand): Applied {
    const { carrierId, ballot, members, atMs } = command;
    const origin = carrierOrigin(carrierId);
    assert(origin?.ballot === ballot, "a commit carries the ballot its carrier was begun under");
    const known = this.carrierOutcome(carrierId);
    if (known.kind === "committed") {
      return known.carrier === undefined
        ? { kind: "completed", carrierIds: [carrierId] }
        : { kind: "committed", carrier: known.carrier };
    }
    if (known.kind === "forgotten") return { kind: "void", carrierId };
    if (ballot < this.#floor && this.#options.voidsCommitsBelowFloor) {
      return { kind: "void", carrierId };
    }
    if (members.some((member) => this.#isAnsweredElsewhere(member)))
      return { kind: "void", carrierId };
    this.#committed.add(ballot, origin.sequence);
    this.#incomplete.set(carrierId, command);
    for (const member of members) this.#commitMember(command, member);
    this.#noteActive(ballot, atMs);
    return { kind: "committed", carrier: command };
  }

  #noteActive(ballot: Ballot, atMs: number): void {
    this.#lastActiveAtMs.set(ballot, Math.max(atMs, this.#lastActiveAtMs.get(ballot) ?? 0));
  }

  #commitMember(command: CommitCommand, member: CommitCommand["members"][number]): void {
    const { transactionId, idempotency, results } = member;
    const origin = transactionOrigin(transactionId);
    assert(origin !== undefined, "a transaction id names its origin");
    this.#committed.add(origin.ballot, origin.sequence);
    this.#carrierOf.set(transactionId, command.carrierId);
    if (idempotency === null) return;
    this.#answers.add(idempotency, { transactionId, results: results ?? [], atMs: command.atMs });
  }

  #isAnsweredElsewhere({ idempotency, transactionId }: CommitCommand["members"][number]): boolean {
    if (idempotency === null) return false;
    const answer = this.#answers.find(idempotency.key);
    return answer !== undefined && answer.transactionId !== transactionId;
  }

  #complete(carrierId: CarrierId, atMs: number): void {
    const carrier = this.#incomplete.get(carrierId);
    if (carrier === undefined) return;
    this.#incomplete.delete(carrierId);
    this.#noteActive(carrier.ballot, atMs);
    for (const { transactionId } of carrier.members) this.#carrierOf.delete(transactionId);
  }

  /** Whole ballots, oldest first, and only those that can get no new commit and owe nothing. */
  #forget(atMs: number): void {
    this.#answers.forget(atMs);
    const ballots = [...this.#lastActiveAtMs.keys()].sort((left, right) => left - right);
    for (const ballot of ballots) {
      const lastAtMs = this.#lastActiveAtMs.get(ballot) ?? 0;
      if (ballot >= this.#floor || atMs - lastAtMs <= this.#options.decisionRetentionMs) return;
      if ([...this.#incomplete.values()].some((carrier) => carrier.ballot === ballot)) return;
      this.#committed.forget(ballot);
      this.#lastActiveAtMs.delete(ballot);
      this.#forgottenUpTo = ballot;
    }
  }
}
