/**
 * Persist before send, by construction: what a step wants written is appended, and what it wants released leaves when
 * that append, and so everything before it, is durable. Steps of one tick share one append; what comes without records of its
 * own leaves with the last one that is under way.
 */
import type { Clock } from "../../shared/model/ports.ts";
import type { LogStore } from "../log/log-store.ts";
import type { Envelope } from "../paxos/message.ts";
import type { DurableRecord } from "../paxos/record.ts";
import type { PaxosOutput } from "../paxos/state.ts";

/**
 * What may wait with one append besides that which was released with its records: answers, all of which are asked for again.
 * What is beyond is dropped: the disk hangs.
 */
const MAX_WAITING_ANSWERS = 1024;

interface Append {
  readonly sinceMs: number;
  readonly release: readonly Envelope[];
  readonly answers: Envelope[];
}

export interface DurableOutboxOptions {
  readonly log: LogStore;
  readonly clock: Clock;
  readonly deliver: (envelopes: readonly Envelope[]) => void;
  /** The log failed: nothing this node says can be kept any more. */
  readonly onFailure: (error: unknown) => void;
}

export class DurableOutbox {
  readonly #options: DurableOutboxOptions;
  #records: DurableRecord[] = [];
  #release: Envelope[] = [];
  /** What is not durable yet, oldest first. */
  readonly #pending: Append[] = [];
  #failed = false;

  constructor(options: DurableOutboxOptions) {
    this.#options = options;
  }

  collect(output: PaxosOutput): void {
    for (const record of output.records) this.#records.push(record);
    for (const envelope of output.release) this.#release.push(envelope);
  }

  /** How long the oldest unfinished append has been waiting; 0 when none is. */
  stalledMs(): number {
    const [oldest] = this.#pending;
    return oldest === undefined ? 0 : this.#options.clock.monotonicMs() - oldest.sinceMs;
  }

  flush(): void {
    if (this.#failed || (this.#records.length === 0 && this.#release.length === 0)) return;
    const records = this.#records;
    const release = this.#release;
    this.#records = [];
    this.#release = [];
    if (records.length > 0) this.#append(records, release);
    else this.#answer(release);
  }

  #append(records: readonly DurableRecord[], release: readonly Envelope[]): void {
    const append: Append = { sinceMs: this.#options.clock.monotonicMs(), release, answers: [] };
    this.#pending.push(append);
    this.#options.log.append(records).then(
      () => {
        this.#pending.shift();
        if (!this.#failed) this.#options.deliver([...append.release, ...append.answers]);
      },
      (error: unknown) => {
        this.#failed = true;
        this.#options.onFailure(error);
      },
    );
  }

  #answer(release: readonly Envelope[]): void {
    const last = this.#pending.at(-1);
    if (last === undefined) {
      this.#options.deliver(release);
      return;
    }
    for (const envelope of release) {
      if (last.answers.length < MAX_WAITING_ANSWERS) last.answers.push(envelope);
    }
  }
}
