/**
 * One life of a process. What it does to the outside goes through `effect`, where it may be ended between two effects of
 * the same turn: nothing that it does after that reaches anyone.
 */
import type { Cancel } from "../../../shared/model/ports.ts";
import type { Process } from "./scheduler.ts";
import type { SeededRandom } from "./seeded-random.ts";

export class Incarnation implements Process {
  readonly name: string;
  readonly #random: SeededRandom;
  readonly #crashAtEffect: () => number;
  readonly #crash: (where: string) => void;
  readonly #onEnd = new Set<() => void>();
  #alive = true;
  paused = false;

  /** `crashAtEffect` is the chance of ending at any one effect; `crash` must call `end`. */
  constructor(
    name: string,
    random: SeededRandom,
    crashAtEffect: () => number,
    crash: (where: string) => void,
  ) {
    this.name = name;
    this.#random = random;
    this.#crashAtEffect = crashAtEffect;
    this.#crash = crash;
  }

  get alive(): boolean {
    return this.#alive;
  }

  effect(what: string): void {
    if (this.#alive && this.#random.chance(this.#crashAtEffect())) this.#crash(what);
  }

  onEnd(notify: () => void): Cancel {
    this.#onEnd.add(notify);
    return () => {
      this.#onEnd.delete(notify);
    };
  }

  end(): void {
    this.#alive = false;
    for (const notify of this.#onEnd) notify();
    this.#onEnd.clear();
  }
}
