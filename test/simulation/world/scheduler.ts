/**
 * Virtual time: a heap of events, run one by one, each followed by everything its promises lead to.
 *
 * Events belong to a process (one incarnation of a node). Events of a dead process never run; those of a paused one wait
 * and run together, in order, when it goes on: like a stopped program whose timers and sockets have filled up meanwhile.
 */
import { setImmediate } from "node:timers";
import type { Cancel } from "../../../shared/model/ports.ts";

/** One incarnation of a node. */
export interface Process {
  readonly name: string;
  readonly alive: boolean;
  readonly paused: boolean;
}

interface ScheduledEvent {
  readonly atMs: number;
  readonly order: number;
  readonly owner: Process | undefined;
  run: (() => void) | undefined;
}

const nothing: Cancel = () => undefined;

function isBefore(left: ScheduledEvent, right: ScheduledEvent): boolean {
  return left.atMs < right.atMs || (left.atMs === right.atMs && left.order < right.order);
}

/** So many events in one turn of the real event loop. */
const EVENTS_IN_A_TURN = 256;

/**
 * Lets every promise go on that can. A turn of the event loop would do the same at twenty times the price, which is a third
 * of a whole simulation. Works only outside of promise jobs, so events run from a macrotask.
 */
const settle = (process as unknown as { readonly _tickCallback: () => void })._tickCallback;

export class Scheduler {
  readonly #heap: ScheduledEvent[] = [];
  readonly #deferred = new Map<Process, ScheduledEvent[]>();
  #order = 0;
  #nowMs = 0;
  #events = 0;

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Events that have run. */
  get eventCount(): number {
    return this.#events;
  }

  at(atMs: number, owner: Process | undefined, run: () => void): Cancel {
    if (owner?.alive === false) return nothing;
    const event: ScheduledEvent = {
      atMs: Math.max(atMs, this.#nowMs),
      order: this.#order,
      owner,
      run,
    };
    this.#order += 1;
    this.#push(event);
    return () => {
      event.run = undefined;
    };
  }

  after(delayMs: number, owner: Process | undefined, run: () => void): Cancel {
    return this.at(this.#nowMs + Math.max(0, delayMs), owner, run);
  }

  /** Lets the events run that waited while `process` was paused. */
  resumed(process: Process): void {
    for (const event of this.#deferred.get(process) ?? []) {
      this.at(this.#nowMs, process, () => {
        event.run?.();
      });
    }
    this.#deferred.delete(process);
  }

  /** Runs every event up to `untilMs`. `observe` is called after each has settled; what it throws ends the run. */
  run(untilMs: number, observe: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const turn = (): void => {
        try {
          for (let events = 0; events < EVENTS_IN_A_TURN; events += 1) {
            if (this.#step(untilMs, observe)) continue;
            resolve();
            return;
          }
          setImmediate(turn);
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
        }
      };
      setImmediate(turn);
    });
  }

  /** False when there is no event up to `untilMs`. */
  #step(untilMs: number, observe: () => void): boolean {
    const event = this.#heap[0];
    if (event === undefined || event.atMs > untilMs) {
      this.#nowMs = Math.max(this.#nowMs, untilMs);
      return false;
    }
    this.#pop();
    const { run, owner } = event;
    if (run === undefined || owner?.alive === false) return true;
    this.#nowMs = event.atMs;
    if (owner?.paused === true) {
      const waiting = this.#deferred.get(owner) ?? [];
      waiting.push(event);
      this.#deferred.set(owner, waiting);
      return true;
    }
    this.#events += 1;
    run();
    settle();
    observe();
    return true;
  }

  #push(event: ScheduledEvent): void {
    const heap = this.#heap;
    let index = heap.push(event) - 1;
    while (index > 0) {
      const above = (index - 1) >> 1;
      const parent = heap[above];
      if (parent === undefined || !isBefore(event, parent)) break;
      heap[index] = parent;
      index = above;
    }
    heap[index] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let index = 0;
    for (;;) {
      const child = this.#lesserChild(index);
      const below = heap[child];
      if (below === undefined || !isBefore(below, last)) break;
      heap[index] = below;
      index = child;
    }
    heap[index] = last;
  }

  #lesserChild(index: number): number {
    const left = 2 * index + 1;
    const [first, second] = [this.#heap[left], this.#heap[left + 1]];
    return first !== undefined && second !== undefined && isBefore(second, first) ? left + 1 : left;
  }
}
