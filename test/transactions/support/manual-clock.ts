/** Time that passes when a test says so. */
import type { Cancel, Clock } from "../../../shared/model/ports.ts";

interface Timer {
  readonly atMs: number;
  readonly task: () => void;
}

export class ManualClock implements Clock {
  #nowMs = 0;
  #timers: Timer[] = [];

  monotonicMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, task: () => void): Cancel {
    const timer = { atMs: this.#nowMs + delayMs, task };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  soon(task: () => void): void {
    queueMicrotask(task);
  }

  get pending(): number {
    return this.#timers.length;
  }

  pass(ms: number): void {
    this.#nowMs += ms;
    for (;;) {
      const due = this.#timers.find(({ atMs }) => atMs <= this.#nowMs);
      if (due === undefined) return;
      this.#timers = this.#timers.filter((other) => other !== due);
      due.task();
    }
  }
}
