/**
 * The clock of one incarnation: its monotonic time starts anywhere and runs up to a tenth too fast or too slow, its wall
 * time is off by seconds. Timers die with the incarnation.
 */
import type { Cancel, Clock } from "../../../shared/model/ports.ts";
import type { Process, Scheduler } from "./scheduler.ts";

/** 2026-01-01T00:00:00Z */
const EPOCH_MS = Date.UTC(2026, 0, 1);

export interface ClockCharacter {
  /** 1 is right, 1.1 runs a tenth too fast. */
  readonly rate: number;
  readonly wallOffsetMs: number;
}

export class NodeClock implements Clock {
  readonly #scheduler: Scheduler;
  readonly #process: Process;
  readonly #character: ClockCharacter;
  readonly #originMs: number;

  constructor(scheduler: Scheduler, process: Process, character: ClockCharacter, originMs: number) {
    this.#scheduler = scheduler;
    this.#process = process;
    this.#character = character;
    this.#originMs = originMs;
  }

  monotonicMs(): number {
    return this.#originMs + this.#scheduler.nowMs * this.#character.rate;
  }

  wallMs(): number {
    const { rate, wallOffsetMs } = this.#character;
    return Math.floor(EPOCH_MS + wallOffsetMs + this.#scheduler.nowMs * rate);
  }

  after(delayMs: number, task: () => void): Cancel {
    return this.#scheduler.after(delayMs / this.#character.rate, this.#process, task);
  }

  soon(task: () => void): void {
    this.#scheduler.after(0, this.#process, task);
  }
}
