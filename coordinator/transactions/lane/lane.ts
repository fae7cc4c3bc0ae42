/**
 * The lane: one-shot transactions that are many at once go together, as members of one carrier, through one branch a shard, one
 * vote, one decision and one commit.
 *
 *   waits ──its shards are free──▶ executes ──all vote yes──▶ decided, committed, answered (carriers.ts)
 *     │                               │
 *     │ too long                      │ one member fails: nothing of the carrier has happened
 *     ▼                               ├──▶ that member: the ordinary path, where it gets the answer that it has alone
 *   the ordinary path ◀── once again ─┴──▶ the others: wait once more, in front
 *
 * A carrier commits with all its members or not at all, so a member that fails cannot be left on any shard. Members run in the
 * same order on all shards, each sees what those before it did, and no other transaction sees any of it before all of it is
 * decided: as if they had run one after the other. What could tell a transaction of the others beyond that (its number, settings that last
 * as long as it does) keeps it out where its statements name it; `"lane": false` keeps it out in any case.
 *
 * Lock waits inside are short: whoever waits longer has its place in the lane taken by others, and waits on the ordinary path.
 */
import type { TransactionRequest, TransactionResponse } from "../../../shared/model/api.ts";
import { unreachable } from "../../../shared/model/assert.ts";
import type { ErrorCode } from "../../../shared/model/errors.ts";
import {
  type Ballot,
  carrierId,
  type ShardId,
  transactionId,
  type TransactionId,
} from "../../../shared/model/ids.ts";
import type { Cancel, Clock, Random } from "../../../shared/model/ports.ts";
import type { BranchOperation } from "../../../shared/model/protocol.ts";
import type { Admission } from "../admission.ts";
import { abortError, type CarrierAnswer, operationsByShard, unknownOutcome } from "../answer.ts";
import type { Carriers } from "../carriers.ts";
import { type LeaderHint, NotLeader, type Submission } from "../gateway.ts";
import type { CarrierMember } from "../held-carrier.ts";
import type { Attempt } from "../keyed-attempts.ts";
import type { Leadership } from "../leadership.ts";
import { ownedId } from "../owner.ts";
import type { AbortReason } from "../transaction.ts";
import { LaneQueue, type Waiting } from "./lane-queue.ts";

export const LANE_LIMITS = {
  lockTimeoutMs: 50,
  /** All shards have voted by then, or the carrier is given up. */
  voteBudgetMs: 1_000,
  /** Whoever has waited so long for its turn takes the ordinary path. */
  maxWaitMs: 100,
  /** One that may take less time is not delayed by others. */
  minTimeoutMs: 2_000,
  maxShards: 8,
  /** Carriers that one transaction is a member of, one after the other. */
  maxTries: 2,
} as const;

/** What tells members that they share a transaction, or changes it for those behind. */
const TELLS_OF_OTHERS =
  /\b(?:set_config|txid_\w+|pg_current_xact\w*|pg_(?:current|export)_snapshot)\b/i;

/** Refusals that a member may have met only because of the lane's own bounds. */
const OF_THE_LANE: ReadonlySet<ErrorCode> = new Set([
  ...(["lock-timeout", "transaction-timeout", "deadlock", "participant-conflict"] as const),
  ...(["result-too-large", "not-preparable"] as const),
]);

export interface LaneOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly leadership: Leadership;
  readonly carriers: Pick<Carriers, "run" | "yieldToOthers" | "size">;
  readonly admission: Pick<Admission, "tryEnter">;
  readonly leader: () => LeaderHint | undefined;
}

export interface Ride {
  readonly submission: Submission;
  readonly attempt: Attempt;
  readonly ballot: Ballot;
}

interface Passenger extends Waiting, Ride {
  readonly operationsOn: ReadonlyMap<ShardId, readonly BranchOperation[]>;
  readonly deadlineMs: number;
  readonly resolve: (response: TransactionResponse | undefined) => void;
  readonly reject: (error: unknown) => void;
  tries: number;
}

/** Since the start. A transaction counts each time that it is a member of a carrier. */
export interface LaneCounts {
  readonly committed: { carriers: number; members: number };
  readonly aborted: { carriers: number; members: number };
}

export class Lane {
  readonly #options: LaneOptions;
  readonly #queue = new LaneQueue<Passenger>();
  readonly counts: LaneCounts = {
    committed: { carriers: 0, members: 0 },
    aborted: { carriers: 0, members: 0 },
  };
  #cancelLook: Cancel | undefined;

  constructor(options: LaneOptions) {
    this.#options = options;
  }

  /** Those that wait. */
  get size(): number {
    return this.#queue.size;
  }

  /**
   * Undefined, at once or in the end: the transaction takes the ordinary path, and nothing of it has happened. Where nothing
   * else runs, that is the shorter one.
   */
  run(ride: Ride): Promise<TransactionResponse | undefined> | undefined {
    const { request } = ride.submission;
    const { clock, carriers } = this.#options;
    if (carriers.size === 0 || !suits(request)) return undefined;
    const operationsOn = operationsByShard(request);
    const shards = [...operationsOn.keys()];
    if (shards.length < 2 || shards.length > LANE_LIMITS.maxShards) return undefined;
    const line = lineOf(request, shards);
    if (!this.#queue.isOpen(line)) return undefined;
    return new Promise((resolve, reject) => {
      const sinceMs = clock.monotonicMs();
      this.#queue.add({
        ...{ ...ride, line, shards, operationsOn, sinceMs, resolve, reject, tries: 0 },
        deadlineMs: sinceMs + request.timeoutMs,
        operations: request.operations.length,
        characters: charactersOf(request),
      });
      this.#start();
    });
  }

  committedAlone(request: TransactionRequest, shards: readonly ShardId[]): void {
    this.#queue.committedAlone(lineOf(request, shards));
  }

  #start(): void {
    for (let next = this.#queue.next(); next !== undefined; next = this.#queue.next()) {
      void this.#carry(next);
    }
    this.#look();
  }

  async #carry(passengers: readonly [Passenger, ...Passenger[]]): Promise<void> {
    const { clock, leadership, carriers, admission } = this.#options;
    const [{ shards, ballot, submission }] = passengers;
    const isLed = passengers.every((passenger) => passenger.ballot === leadership.ballot);
    const release = isLed ? admission.tryEnter(shards) : undefined;
    if (release === undefined) {
      for (const shard of shards) this.#queue.freed(shard);
      for (const passenger of passengers) this.#leave(passenger);
      return;
    }
    const id = carrierId(ballot, leadership.nextSequence());
    const deadlineMs = Math.min(...passengers.map((passenger) => passenger.deadlineMs));
    const timeoutMs = Math.max(1, Math.floor(deadlineMs - clock.monotonicMs()));
    const budgetMs = Math.min(timeoutMs, LANE_LIMITS.voteBudgetMs);
    const members = this.#members(passengers);
    for (const { attempt } of passengers) attempt.carrierId = id;
    const cancelBudget = clock.after(budgetMs, () => {
      carriers.yieldToOthers(id);
    });
    const answer = await carriers.run({
      ...{ ballot, carrierId: id, members, release },
      terms: { timeoutMs, waitFor: submission.request.waitFor },
      limits: {
        ...{ isolation: "read committed", timeoutMs: budgetMs },
        lockTimeoutMs: LANE_LIMITS.lockTimeoutMs,
      },
      whenVoted: (shard) => {
        this.#queue.freed(shard);
        this.#start();
      },
    });
    cancelBudget();
    this.#answer(passengers, members, answer);
  }

  #members([first, ...others]: readonly [Passenger, ...Passenger[]]): NonEmpty<CarrierMember> {
    return [this.#member(first), ...others.map((passenger) => this.#member(passenger))];
  }

  #member({ submission, operationsOn, ballot }: Passenger): CarrierMember {
    const { leadership, random } = this.#options;
    const { owner, idempotency } = submission;
    const sequence = leadership.nextSequence();
    return {
      transactionId: ownedId(owner, random, (tail) => transactionId(ballot, sequence, tail)),
      ...{ operations: operationsOn, idempotency },
    };
  }

  #answer(
    passengers: NonEmpty<Passenger>,
    members: NonEmpty<CarrierMember>,
    answer: CarrierAnswer,
  ): void {
    const [{ line }] = passengers;
    if (answer.kind !== "unknown") {
      this.counts[answer.kind].carriers += 1;
      this.counts[answer.kind].members += passengers.length;
    }
    switch (answer.kind) {
      case "committed":
        this.#queue.committedTogether(line);
        passengers.forEach(({ resolve }, place) => {
          resolve(answer.responses[place]);
        });
        return;
      case "unknown":
        rejectAll(passengers, members, unknownOutcome);
        return;
      case "aborted":
        this.#aborted(passengers, members, answer.reason);
        return;
      default:
        unreachable(answer);
    }
  }

  #aborted(
    passengers: NonEmpty<Passenger>,
    members: NonEmpty<CarrierMember>,
    reason: AbortReason,
  ): void {
    switch (reason.kind) {
      case "leadershipLost":
      case "unreachable":
        rejectAll(passengers, members, (id) => abortError(reason, id));
        return;
      case "refused": {
        const isItsOwn = passengers.length === 1 && !OF_THE_LANE.has(reason.refusal.code);
        if (isItsOwn) rejectAll(passengers, members, (id) => abortError(reason, id));
        else this.#spoilt(passengers, spoilerOf(members, reason));
        return;
      }
      case "deadline":
      case "deadlock":
      case "resultTooLarge":
        this.#spoilt(passengers, undefined);
        return;
      default:
        unreachable(reason);
    }
  }

  /** Undefined: it may be any of them. */
  #spoilt(passengers: NonEmpty<Passenger>, spoiler: number | undefined): void {
    this.#queue.spoilt(passengers[0].line);
    const others: Passenger[] = [];
    passengers.forEach((passenger, place) => {
      passenger.tries += 1;
      const goesOn = spoiler !== undefined && passenger.tries < LANE_LIMITS.maxTries;
      if (goesOn && place !== spoiler) others.push(passenger);
      else this.#leave(passenger);
    });
    this.#queue.putBack(others);
    this.#start();
  }

  #leave({ ballot, resolve, reject }: Passenger): void {
    const { leadership, leader } = this.#options;
    if (ballot === leadership.ballot) resolve(undefined);
    else reject(new NotLeader(leader()));
  }

  /** While any wait, those who have waited for too long are looked for. */
  #look(): void {
    if (this.#queue.size === 0 || this.#cancelLook !== undefined) return;
    const { clock } = this.#options;
    this.#cancelLook = clock.after(LANE_LIMITS.maxWaitMs / 2, () => {
      this.#cancelLook = undefined;
      const late = this.#queue.takeOlderThan(clock.monotonicMs() - LANE_LIMITS.maxWaitMs);
      for (const passenger of late) this.#leave(passenger);
      this.#look();
    });
  }
}

type NonEmpty<Item> = readonly [Item, ...Item[]];

function suits({ lane, isolation, timeoutMs, operations }: TransactionRequest): boolean {
  if (lane === false || isolation !== "read committed") return false;
  if (timeoutMs < LANE_LIMITS.minTimeoutMs) return false;
  return !operations.some(({ sql }) => TELLS_OF_OTHERS.test(sql));
}

function lineOf({ timeoutMs, waitFor }: TransactionRequest, shards: readonly ShardId[]): string {
  return [timeoutMs, waitFor, ...[...shards].sort()].join(" ");
}

function charactersOf({ operations }: TransactionRequest): number {
  let characters = 0;
  for (const { sql, params } of operations) {
    characters += sql.length;
    for (const param of params) {
      if (typeof param === "string") characters += param.length;
      else if (typeof param === "object" && param !== null) {
        characters += JSON.stringify(param).length;
      }
    }
  }
  return characters;
}

function rejectAll(
  passengers: readonly Passenger[],
  members: readonly CarrierMember[],
  errorOf: (id: TransactionId) => Error,
): void {
  passengers.forEach(({ reject }, place) => {
    const member = members[place];
    if (member !== undefined) reject(errorOf(member.transactionId));
  });
}

/** A branch counts those of the carrier's members that are on its shard. */
function spoilerOf(
  members: readonly CarrierMember[],
  { shard, refusal }: Extract<AbortReason, { kind: "refused" }>,
): number | undefined {
  const onShard = members.filter(({ operations }) => operations.has(shard));
  const member = members.length === 1 ? members[0] : onShard[refusal.member ?? -1];
  return member === undefined ? undefined : members.indexOf(member);
}
