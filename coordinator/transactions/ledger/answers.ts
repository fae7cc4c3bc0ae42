/**
 * First answers by idempotency key, so that a retry gets the same answer whoever leads. Bounded by age, count and bytes;
 * the oldest go first. Age is counted in the ledger's own time (ledger-time.ts), so all replicas forget at the same slot.
 */
import type { OperationResult } from "../../../shared/model/api.ts";
import { isExpiredKey, keyTimeMs } from "../../../shared/model/idempotency-key.ts";
import type { TransactionId } from "../../../shared/model/ids.ts";
import type { Idempotency } from "../../../shared/model/protocol.ts";
import { Queue } from "./queue.ts";
import { malformed } from "./records.ts";

export interface AnswerLimits {
  readonly retentionMs: number;
  readonly maxEntries: number;
  readonly maxBytes: number;
}

export const DEFAULT_ANSWER_LIMITS: AnswerLimits = {
  retentionMs: 60 * 60 * 1000,
  maxEntries: 500_000,
  maxBytes: 256 * 1024 * 1024,
};

export interface FirstAnswer {
  readonly transactionId: TransactionId;
  readonly fingerprint: string;
  readonly results: readonly OperationResult[];
  /** By the wall clock of the leader that gave it. */
  readonly atMs: number;
}

/** Key, fingerprint, id and object overhead, roughly: the bound is about memory, not about bytes on disk. */
const ENTRY_OVERHEAD_BYTES = 500;

export interface KeyedAnswer extends FirstAnswer {
  readonly key: string;
  /** The ledger's time when it was given. */
  readonly givenMs: number;
}

export interface AnswersImage {
  readonly forgottenUpToMs: number;
  /** Oldest first. */
  readonly answers: readonly KeyedAnswer[];
}

interface Entry extends KeyedAnswer {
  readonly bytes: number;
}

export class Answers {
  readonly #limits: AnswerLimits;
  readonly #byKey = new Map<string, Entry>();
  /**
   * The keys of `#byKey` in its order. The map's own iterator begins with all that was deleted since the map last grew: measured, a
   * hundred thousand answers make each commit take 60 µs longer.
   */
  readonly #oldestFirst = new Queue<string>();
  #bytes = 0;
  /** Keys made before it may have been used: see `usedUpToMs`. */
  #forgottenUpToMs = 0;

  constructor(limits: AnswerLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#byKey.size;
  }

  /** Memory in use, roughly: what `maxBytes` bounds. */
  get bytes(): number {
    return this.#bytes;
  }

  /** When the oldest answer was given; undefined when there is none. */
  get oldestAtMs(): number | undefined {
    const { first } = this.#oldestFirst;
    return first === undefined ? undefined : this.#byKey.get(first)?.atMs;
  }

  find(key: string): FirstAnswer | undefined {
    return this.#byKey.get(key);
  }

  isExpired(key: string): boolean {
    return isExpiredKey(key, this.#forgottenUpToMs);
  }

  /** `passedMs`: the ledger's time now. */
  add(idempotency: Idempotency, answer: Omit<FirstAnswer, "fingerprint">, passedMs: number): void {
    const { key, fingerprint } = idempotency;
    const { transactionId, results, atMs } = answer;
    this.#keep({ key, fingerprint, transactionId, results, atMs, givenMs: passedMs });
    this.forget(passedMs);
  }

  /** Cheap: what it holds is never changed, so only the list is copied. */
  image(): AnswersImage {
    return { forgottenUpToMs: this.#forgottenUpToMs, answers: [...this.#byKey.values()] };
  }

  static of(image: AnswersImage, limits: AnswerLimits): Answers {
    const answers = new Answers(limits);
    answers.#forgottenUpToMs = image.forgottenUpToMs;
    for (const answer of image.answers) {
      if (answers.#byKey.has(answer.key)) malformed("a key has two first answers");
      answers.#keep(answer);
    }
    return answers;
  }

  #keep(answer: KeyedAnswer): void {
    const { key, results } = answer;
    const bytes = ENTRY_OVERHEAD_BYTES + JSON.stringify(results).length;
    const known = this.#byKey.get(key);
    if (known === undefined) this.#oldestFirst.push(key);
    this.#bytes += bytes - (known?.bytes ?? 0);
    this.#byKey.set(key, { ...answer, bytes });
  }

  forget(passedMs: number): void {
    for (;;) {
      const key = this.#oldestFirst.first;
      const entry = key === undefined ? undefined : this.#byKey.get(key);
      if (entry === undefined) return;
      const isOld = passedMs - entry.givenMs > this.#limits.retentionMs;
      const isTooMuch =
        this.#byKey.size > this.#limits.maxEntries || this.#bytes > this.#limits.maxBytes;
      if (!isOld && !isTooMuch) return;
      this.#oldestFirst.shift();
      this.#byKey.delete(entry.key);
      this.#bytes -= entry.bytes;
      this.#forgottenUpToMs = Math.max(this.#forgottenUpToMs, usedUpToMs(entry));
    }
  }
}

/**
 * Up to when keys may have been made as this one was: the key's own time, and no later than the answer's. So no clock that runs
 * ahead, a client's or a leader's, makes keys that others make now look old.
 */
function usedUpToMs({ key, atMs }: KeyedAnswer): number {
  return Math.min(keyTimeMs(key) ?? 0, atMs);
}
