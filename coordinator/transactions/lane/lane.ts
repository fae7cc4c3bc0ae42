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
 * as long as it does) keeps it out, as `"lane": false` does; and because a function can hide that, all members are of one client.
 *
 * Lock waits inside are short: whoever waits longer has its place in the lane taken by others, and waits on the ordinary path.
 */
import type { TransactionRequest, TransactionResponse } from "../../../shared/model/api.ts";
import { assert, unreachable } from "../../../shared/model/assert.ts";
import type { ErrorCode } from "../../../shared/model/errors.ts";
import {
  type Ballot,
  carrierId,
  type ShardId,
  transactionId,
  type TransactionId,
} from "../../../shared/model/ids.ts";
import type { Clock, Random } from "../../../shared/model/ports.ts";
import type { BranchOperation } from "../../../shared/model/protocol.ts";
import type { Admission } from "../admission.ts";
import { abortError, type CarrierAnswer, unknownOutcome } from "../answer.ts";
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

/** A transaction of several shards on its way to a carrier. */
export interface Ride {
  readonly submission: Submission;
  readonly attempt: Attempt;
  readonly ballot: Ballot;
  readonly operationsOn: ReadonlyMap<ShardId, readonly BranchOperation[]>;
}

interface Passenger extends Waiting, Ride {
  readonly deadlineMs: number;
  readonly resolve: (response: TransactionResponse | undefined) => void;
  readonly reject: (error: unknown) => void;
  tries: number;
}

interface Seat {
  readonly passenger: Passenger;
  readonly member: CarrierMember;
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
  #looks = false;

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
    const { operationsOn, submission } = ride;
    const { request } = submission;
    const { clock, carriers } = this.#options;
    assert(operationsOn.size > 1, "one shard alone commits in one phase");
    if (carriers.size === 0 || !suits(ride)) return undefined;
    const line = lineOf(ride);
    if (!this.#queue.isOpen(line)) return undefined;
    return new Promise((resolve, reject) => {
      const sinceMs = clock.monotonicMs();
      this.#queue.add({
        ...{ ...ride, line, sinceMs, resolve, reject, tries: 0 },
        shards: [...operationsOn.keys()],
        deadlineMs: sinceMs + request.timeoutMs,
        operations: request.operations.length,
        characters: charactersOf(request),
      });
      this.#start();
    });
  }

  committedAlone(ride: Ride): void {
    if (suits(ride)) this.#queue.committedAlone(lineOf(ride));
  }

  #start(): void {
    for (let next = this.#queue.next(); next !== undefined; next = this.#queue.next()) {
      void this.#carry(next);
    }
    this.#look();
  }

  async #carry(passengers: NonEmpty<Passenger>): Promise<void> {
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
    const seats = this.#seats(passengers);
    for (const { attempt } of passengers) attempt.carrierId = id;
    const cancelBudget = clock.after(budgetMs, () => {
      carriers.yieldToOthers(id);
    });
    const answer = await carriers.run({
      ...{ ballot, carrierId: id, release },
      members: [seats[0].member, ...seats.slice(1).map(({ member }) => member)],
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
    this.#answer(seats, answer);
  }

  #seats([first, ...others]: NonEmpty<Passenger>): NonEmpty<Seat> {
    return [this.#seat(first), ...others.map((passenger) => this.#seat(passenger))];
  }

  #seat(passenger: Passenger): Seat {
    const { submission, operationsOn, ballot } = passenger;
    const { leadership, random } = this.#options;
    const { owner, idempotency } = submission;
    const sequence = leadership.nextSequence();
    const id = ownedId(owner, random, (tail) => transactionId(ballot, sequence, tail));
    return { passenger, member: { transactionId: id, operations: operationsOn, idempotency } };
  }

  #answer(seats: NonEmpty<Seat>, answer: CarrierAnswer): void {
    const [{ passenger }] = seats;
    if (answer.kind !== "unknown") {
      this.counts[answer.kind].carriers += 1;
      this.counts[answer.kind].members += seats.length;
    }
    switch (answer.kind) {
      case "committed":
        this.#queue.committedTogether(passenger.line);
        for (const [place, seat] of seats.entries()) {
          const response = answer.responses[place];
          assert(response !== undefined, "whoever committed is answered, and does not run again");
          seat.passenger.resolve(response);
        }
        return;
      case "unknown":
        rejectAll(seats, unknownOutcome);
        return;
      case "aborted":
        this.#aborted(seats, answer.reason);
        return;
      default:
        unreachable(answer);
    }
  }

  #aborted(seats: NonEmpty<Seat>, reason: AbortReason): void {
    switch (reason.kind) {
      case "leadershipLost":
      case "unreachable":
        rejectAll(seats, (id) => abortError(reason, id));
        return;
      case "refused": {
        const { code, member } = reason.refusal;
        const isItsOwn = seats.length === 1 && !OF_THE_LANE.has(code);
        if (isItsOwn) rejectAll(seats, (id) => abortError(reason, id));
        else this.#spoilt(seats, member);
        return;
      }
      case "deadline":
      case "deadlock":
      case "resultTooLarge":
        this.#spoilt(seats, undefined);
        return;
      default:
        unreachable(reason);
    }
  }

  /** `spoiler`: place of the member that failed; undefined where it may be any of them. */
  #spoilt(seats: NonEmpty<Seat>, spoiler: number | undefined): void {
    this.#queue.spoilt(seats[0].passenger.line);
    const others: Passenger[] = [];
    for (const [place, { passenger }] of seats.entries()) {
      passenger.tries += 1;
      const goesOn = spoiler !== undefined && passenger.tries < LANE_LIMITS.maxTries;
      if (goesOn && place !== spoiler) others.push(passenger);
      else this.#leave(passenger);
    }
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
    if (this.#queue.size === 0 || this.#looks) return;
    const { clock } = this.#options;
    this.#looks = true;
    clock.after(LANE_LIMITS.maxWaitMs / 2, () => {
      this.#looks = false;
      const late = this.#queue.takeOlderThan(clock.monotonicMs() - LANE_LIMITS.maxWaitMs);
      for (const passenger of late) this.#leave(passenger);
      this.#look();
    });
  }
}

type NonEmpty<Item> = readonly [Item, ...Item[]];

function suits({ submission, operationsOn }: Ride): boolean {
  const { lane, isolation, timeoutMs } = submission.request;
  if (lane === false || isolation !== "read committed") return false;
  return timeoutMs >= LANE_LIMITS.minTimeoutMs && operationsOn.size <= LANE_LIMITS.maxShards;
}

function lineOf({ submission, operationsOn }: Ride): string {
  const { owner, request } = submission;
  const { timeoutMs, waitFor } = request;
  return [owner?.client ?? "", timeoutMs, waitFor, ...[...operationsOn.keys()].sort()].join(" ");
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

function rejectAll(seats: readonly Seat[], errorOf: (id: TransactionId) => Error): void {
  for (const { passenger, member } of seats) passenger.reject(errorOf(member.transactionId));
}
