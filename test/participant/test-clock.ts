/** Time that stands still until a test moves it. */
import type { Cancel, Clock, Random } from "../../shared/model/ports.ts";

interface Timer {
  readonly atMs: number;
  readonly task: () => void;
}

export class TestClock implements Clock {
  #nowMs = 1_000;
  readonly #timers = new Set<Timer>();

  monotonicMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return 1_700_000_000_000 + this.#nowMs;
  }

  after(delayMs: number, task: () => void): Cancel {
    const timer = { atMs: this.#nowMs + delayMs, task };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  soon(task: () => void): void {
    this.after(0, task);
  }

  /** Runs what is due on the way, in order, and whatever that sets off. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      await settled();
      const [next] = [...this.#timers]
        .filter(({ atMs }) => atMs <= untilMs)
        .sort((a, b) => a.atMs - b.atMs);
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.task();
    }
    this.#nowMs = untilMs;
  }
}

/** Resolves when every promise that can go on has gone on. */
export function settled(): Promise<void> {
  return new Promise(setImmediate);
}

/** Always the same: tests that need chance take the simulator. */
export const fixedRandom: Random = {
  integer: () => 0,
  token: (length) => "x".repeat(length),
};
