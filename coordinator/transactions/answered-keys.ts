/**
 * What this leader has answered under idempotency keys, of all that the ledger does not keep: errors with outcome `aborted`,
 * which are a key's answer; answers of what wrote nothing, which nobody else keeps; and which body a key was used with where
 * one shard alone keeps the results, or nobody.
 *
 * So an attempt that was held up on its way, and arrives when a later one was told "aborted", runs into that answer instead of
 * committing behind it; and a key that comes back with another body is known, whatever shards that names. It is a leader's
 * own memory, of one ballot: its successor begins with nothing, and requests meant for this ballot are refused there.
 */
import { unreachable } from "../../shared/model/assert.ts";
import type { TransactionResponse } from "../../shared/model/api.ts";
import type { SynodError } from "../../shared/model/errors.ts";
import type { Ballot } from "../../shared/model/ids.ts";
import type { Clock } from "../../shared/model/ports.ts";
import type { Idempotency } from "../../shared/model/protocol.ts";
import { Queue } from "./ledger/queue.ts";

export interface AnsweredKeysLimits {
  readonly retentionMs: number;
  readonly maxEntries: number;
  readonly maxBytes: number;
}

/** A request is held up for much less than that; and the oldest go first. */
export const DEFAULT_ANSWERED_KEYS_LIMITS: AnsweredKeysLimits = {
  retentionMs: 10 * 60 * 1000,
  maxEntries: 100_000,
  maxBytes: 64 * 1024 * 1024,
};

/** Of one answer: what finds nothing to write says little. */
const MAX_ANSWER_CHARACTERS = 4_096;

/** Objects, map and queue, roughly. */
const ENTRY_OVERHEAD_BYTES = 300;

export type KeyAnswer =
  | { readonly kind: "aborted"; readonly error: SynodError }
  /** It has no effect, and an attempt that comes later must not have one. */
  | { readonly kind: "wroteNothing"; readonly response: TransactionResponse }
  /** A shard answers again; or it has read too much to be kept here, where it would push out the others. */
  | { readonly kind: "notKept" };

interface Answered {
  readonly fingerprint: string;
  readonly answer: KeyAnswer;
}

interface Entry extends Answered {
  readonly bytes: number;
  readonly atMs: number;
}

export class AnsweredKeys {
  readonly #clock: Clock;
  readonly #limits: AnsweredKeysLimits;
  readonly #byKey = new Map<string, Entry>();
  /** The keys of `#byKey` in its order; see ledger/answers.ts for why there is a queue of its own. */
  #oldestFirst = new Queue<string>();
  #bytes = 0;
  #ballot: Ballot | undefined;

  constructor(clock: Clock, limits: AnsweredKeysLimits) {
    this.#clock = clock;
    this.#limits = limits;
  }

  get size(): number {
    return this.#byKey.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** What was answered under this ballot. */
  find(ballot: Ballot, key: string): Answered | undefined {
    if (ballot !== this.#ballot) return undefined;
    this.#forget();
    return this.#byKey.get(key);
  }

  /** The first answer stays. */
  add(ballot: Ballot, { key, fingerprint }: Idempotency, answer: KeyAnswer): void {
    if (ballot !== this.#ballot) this.#beginBallot(ballot);
    if (this.#byKey.has(key)) return;
    const size = charactersOf(answer);
    const isKept = answer.kind !== "wroteNothing" || size <= MAX_ANSWER_CHARACTERS;
    const kept: KeyAnswer = isKept ? answer : { kind: "notKept" };
    const characters = key.length + fingerprint.length + (isKept ? size : 0);
    const bytes = ENTRY_OVERHEAD_BYTES + 2 * characters;
    this.#byKey.set(key, { fingerprint, answer: kept, bytes, atMs: this.#clock.monotonicMs() });
    this.#oldestFirst.push(key);
    this.#bytes += bytes;
    this.#forget();
  }

  #beginBallot(ballot: Ballot): void {
    this.#ballot = ballot;
    this.#byKey.clear();
    this.#oldestFirst = new Queue();
    this.#bytes = 0;
  }

  #forget(): void {
    const { retentionMs, maxEntries, maxBytes } = this.#limits;
    const nowMs = this.#clock.monotonicMs();
    for (;;) {
      const { first } = this.#oldestFirst;
      const entry = first === undefined ? undefined : this.#byKey.get(first);
      if (first === undefined || entry === undefined) return;
      const isOld = nowMs - entry.atMs > retentionMs;
      if (!isOld && this.#byKey.size <= maxEntries && this.#bytes <= maxBytes) return;
      this.#oldestFirst.shift();
      this.#byKey.delete(first);
      this.#bytes -= entry.bytes;
    }
  }
}

function charactersOf(answer: KeyAnswer): number {
  switch (answer.kind) {
    case "aborted":
      return answer.error.message.length;
    case "wroteNothing":
      return JSON.stringify(answer.response).length;
    case "notKept":
      return 0;
    default:
      return unreachable(answer);
  }
}
