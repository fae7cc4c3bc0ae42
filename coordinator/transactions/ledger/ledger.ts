/**
 * The replicated state machine: what happened to every transaction. Commands come in slot order, the same on every
 * replica; the same commands give the same ledger.
 *
 *   barrier{b}    floor = max(floor, b)
 *   commit{b}     b < floor → void, for ever (all members are aborted)
 *                 already decided → the first decision stands
 *                 a member's idempotency key already answered for another transaction → void
 *                 else → committed, with all members
 *   complete      the branches are forgotten; that it committed is kept, for a while
 *
 * Why the floor: a commit that only a minority accepted can surface and be chosen after a newer leader has told a
 * participant "no commit known, abort". With the floor that late commit is void on every replica. So, once a leader's
 * own barrier is applied, absence below the floor is a final "aborted". ARCHITECTURE.md has the whole argument.
 */
import { assert, unreachable } from "../../../shared/model/assert.ts";
import type { Ballot, CarrierId, Origin, TransactionId } from "../../../shared/model/ids.ts";
import { carrierOrigin, originOf, ZERO_BALLOT } from "../../../shared/model/ids.ts";
import type { Command, CommitCommand } from "../command.ts";
import { Answers, DEFAULT_ANSWER_LIMITS, type AnswerLimits, type FirstAnswer } from "./answers.ts";
import { CommittedSet } from "./committed-set.ts";
import { LedgerTime, MAX_ADVANCE_PER_COMMAND_MS } from "./ledger-time.ts";
import { decodeImage, encodeImage } from "./snapshot.ts";

export interface LedgerOptions {
  readonly answers: AnswerLimits;
  /** How long "it committed" is kept after the last commit or completion among its 1024 neighbours. */
  readonly decisionRetentionMs: number;
  /** How far one command may advance the time that ages are counted in. */
  readonly maxAdvanceMs: number;
  /**
   * Always true in production. Tests switch the floor rule off to show that they would notice its absence.
   */
  readonly voidsCommitsBelowFloor: boolean;
}

export const DEFAULT_LEDGER_OPTIONS: LedgerOptions = {
  answers: DEFAULT_ANSWER_LIMITS,
  decisionRetentionMs: 24 * 60 * 60 * 1000,
  maxAdvanceMs: MAX_ADVANCE_PER_COMMAND_MS,
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
  readonly #time: LedgerTime;
  #committed = new CommittedSet();
  #answers: Answers;
  #floor: Ballot = ZERO_BALLOT;

  constructor(options: LedgerOptions = DEFAULT_LEDGER_OPTIONS) {
    this.#options = options;
    this.#time = new LedgerTime(options.maxAdvanceMs);
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

  /** Memory that first answers take, roughly. */
  get answerBytes(): number {
    return this.#answers.bytes;
  }

  /** When the oldest first answer that is kept was given, by its leader's clock. */
  get oldestAnswerAtMs(): number | undefined {
    return this.#answers.oldestAtMs;
  }

  /** Memory that "it committed" takes, without the maps' own overhead. */
  get decisionBytes(): number {
    return this.#committed.bytes;
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
    const origin = originOf(id);
    const carrierId = this.#carrierOf.get(id);
    const carrier = carrierId === undefined ? undefined : this.#incomplete.get(carrierId);
    return this.#outcome(origin.ballot, origin.sequence, carrier);
  }

  #outcome(ballot: Ballot, sequence: number, carrier: CommitCommand | undefined): LedgerOutcome {
    if (carrier !== undefined || this.#committed.has(ballot, sequence)) {
      return { kind: "committed", carrier };
    }
    if (this.#committed.isForgotten(ballot, sequence)) return { kind: "forgotten" };
    return ballot < this.#floor ? { kind: "aborted" } : { kind: "undecided" };
  }

  apply(command: Command): Applied {
    this.#time.heard(command.atMs);
    switch (command.kind) {
      case "barrier":
        if (command.ballot > this.#floor) this.#floor = command.ballot;
        this.#forget();
        return { kind: "barrier", ballot: command.ballot, floor: this.#floor };
      case "commit":
        return this.#commit(command);
      case "complete":
        for (const carrierId of command.carrierIds) this.#complete(carrierId);
        this.#forget();
        return { kind: "completed", carrierIds: command.carrierIds };
      default:
        return unreachable(command);
    }
  }

  #commit(command: CommitCommand): Applied {
    const { carrierId, ballot, members } = command;
    const { passedMs } = this.#time;
    const origins = originsOf(command);
    const [carrierAt] = origins;
    assert(carrierAt.ballot === ballot, "a commit carries the ballot its carrier was begun under");
    const present = this.#incomplete.get(carrierId);
    const known = this.#outcome(ballot, carrierAt.sequence, present);
    if (known.kind === "committed") {
      return known.carrier === undefined
        ? { kind: "completed", carrierIds: [carrierId] }
        : { kind: "committed", carrier: known.carrier };
    }
    const isForgotten = origins.some((at) => this.#committed.isForgotten(at.ballot, at.sequence));
    const isLate = ballot < this.#floor && this.#options.voidsCommitsBelowFloor;
    if (isForgotten || isLate || members.some((member) => this.#isAnsweredElsewhere(member))) {
      return { kind: "void", carrierId };
    }
    for (const at of origins) this.#committed.add(at.ballot, at.sequence, passedMs);
    this.#incomplete.set(carrierId, command);
    for (const member of members) this.#commitMember(command, member);
    return { kind: "committed", carrier: command };
  }

  #commitMember(command: CommitCommand, member: CommitCommand["members"][number]): void {
    const { transactionId, idempotency, results } = member;
    this.#carrierOf.set(transactionId, command.carrierId);
    if (idempotency === null) return;
    const answer = { transactionId, results: results ?? [], atMs: command.atMs };
    this.#answers.add(idempotency, answer, this.#time.passedMs);
  }

  #isAnsweredElsewhere({ idempotency, transactionId }: CommitCommand["members"][number]): boolean {
    if (idempotency === null) return false;
    const answer = this.#answers.find(idempotency.key);
    return answer !== undefined && answer.transactionId !== transactionId;
  }

  #complete(carrierId: CarrierId): void {
    const carrier = this.#incomplete.get(carrierId);
    if (carrier === undefined) return;
    this.#incomplete.delete(carrierId);
    const { passedMs } = this.#time;
    for (const at of originsOf(carrier)) this.#committed.settle(at.ballot, at.sequence, passedMs);
    for (const { transactionId } of carrier.members) this.#carrierOf.delete(transactionId);
  }

  #forget(): void {
    const { passedMs } = this.#time;
    this.#answers.forget(passedMs);
    this.#committed.forget(this.#floor, passedMs, this.#options.decisionRetentionMs);
  }

  /**
   * All of this, as it is now, in chunks of at most 64 KiB; commands that are applied while they are taken change nothing
   * in them. Equal ledgers give equal bytes, however they came about.
   */
  snapshot(): Iterable<Uint8Array> {
    return encodeImage({
      floor: this.#floor,
      time: this.#time.image(),
      incomplete: [...this.#incomplete.values()],
      committed: this.#committed.image(),
      answers: this.#answers.image(),
    });
  }

  /** Becomes what `snapshot` was taken of. Throws, and changes nothing, when the chunks are malformed. */
  restore(chunks: Iterable<Uint8Array>): void {
    const image = decodeImage(chunks);
    const owed = image.incomplete.flatMap(originsOf).map((at) => [at.ballot, at.sequence] as const);
    const committed = CommittedSet.of(image.committed, owed);
    const answers = Answers.of(image.answers, this.#options.answers);
    this.#floor = image.floor;
    this.#time.restore(image.time);
    this.#committed = committed;
    this.#answers = answers;
    this.#incomplete.clear();
    this.#carrierOf.clear();
    for (const carrier of image.incomplete) {
      this.#incomplete.set(carrier.carrierId, carrier);
      for (const { transactionId } of carrier.members) {
        this.#carrierOf.set(transactionId, carrier.carrierId);
      }
    }
  }
}

/** The places in their leaders' sequences that a carrier, first, and its members take. */
function originsOf({ carrierId, members }: CommitCommand): readonly [Origin, ...Origin[]] {
  return [
    named(carrierOrigin(carrierId)),
    ...members.map(({ transactionId }) => originOf(transactionId)),
  ];
}

function named(origin: Origin | undefined): Origin {
  assert(origin !== undefined, "the ids of carriers and transactions name their origin");
  return origin;
}
