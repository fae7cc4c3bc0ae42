/**
 * Persist before send, by construction: what a step wants written is appended, and what it wants released leaves when
 * that append, and so everything before it, is durable. Steps of one tick share one append.
 */
import type { Clock } from "../../shared/model/ports.ts";
import type { LogStore } from "../log/log-store.ts";
import type { Envelope } from "../paxos/message.ts";
import type { DurableRecord } from "../paxos/record.ts";
import type { PaxosOutput } from "../paxos/state.ts";

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
  /** Start times of appends that are not durable yet, oldest first. */
  readonly #pendingSinceMs: number[] = [];
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
    const oldest = this.#pendingSinceMs[0];
    return oldest === undefined ? 0 : this.#options.clock.monotonicMs() - oldest;
  }

  flush(): void {
    if (this.#failed || (this.#records.length === 0 && this.#release.length === 0)) return;
    const records = this.#records;
    const release = this.#release;
    this.#records = [];
    this.#release = [];
    if (records.length === 0 && this.#pendingSinceMs.length === 0) {
      this.#options.deliver(release);
      return;
    }
    this.#pendingSinceMs.push(this.#options.clock.monotonicMs());
    this.#options.log.append(records).then(
      () => {
        this.#pendingSinceMs.shift();
        if (!this.#failed) this.#options.deliver(release);
      },
      (error: unknown) => {
        this.#failed = true;
        this.#options.onFailure(error);
      },
    );
  }
}
