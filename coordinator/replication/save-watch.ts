/**
 * Notices that the store does not get on with a snapshot. It takes the chunks one by one, each when the one before it was written; so from
 * the moment that one is handed over until the next is asked for, or all is saved, the disk is what is waited for.
 *
 * The limit is waited for in two halves: a process that was stopped for long finds the first one over, and not the second.
 */
import type { Cancel, Clock } from "../../shared/model/ports.ts";

/** A disk that needs so long for a quarter of a megabyte will not get on. */
export const SAVE_STALL_LIMIT_MS = 60_000;

type Chunks = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

export class SaveWatch {
  readonly #clock: Clock;
  readonly #onStalled: () => void;
  #cancel: Cancel = () => undefined;

  constructor(clock: Clock, onStalled: () => void) {
    this.#clock = clock;
    this.#onStalled = onStalled;
  }

  /** Saves through `save`, which takes the chunks from here. */
  async watch(
    chunks: Chunks,
    save: (chunks: AsyncIterable<Uint8Array>) => Promise<void>,
  ): Promise<void> {
    this.#waitForDisk();
    try {
      await save(this.#handedOver(chunks));
    } finally {
      this.stop();
    }
  }

  stop(): void {
    this.#cancel();
  }

  async *#handedOver(chunks: Chunks): AsyncGenerator<Uint8Array, void> {
    this.stop();
    for await (const chunk of chunks) {
      this.#waitForDisk();
      yield chunk;
      this.stop();
    }
    this.#waitForDisk();
  }

  #waitForDisk(): void {
    this.stop();
    this.#cancel = this.#clock.after(SAVE_STALL_LIMIT_MS / 2, () => {
      this.#cancel = this.#clock.after(SAVE_STALL_LIMIT_MS / 2, this.#onStalled);
    });
  }
}
