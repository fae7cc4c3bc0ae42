/** So many at once; the others wait in the order in which they came, each for as long as it has time. */
import type { Cancel, Clock } from "../../shared/model/ports.ts";

export interface Wait {
  /** False: cancelled, or no turn came in time. True: a turn, to be given back by `end`. */
  readonly hasTurn: Promise<boolean>;
  readonly cancel: Cancel;
}

export class Turns {
  readonly #clock: Clock;
  readonly #waiting = new Set<(hasTurn: boolean) => void>();
  #free: number;

  constructor(atOnce: number, clock: Clock) {
    this.#free = atOnce;
    this.#clock = clock;
  }

  take(timeoutMs: number): Wait {
    if (this.#free > 0) {
      this.#free -= 1;
      return { hasTurn: Promise.resolve(true), cancel: () => undefined };
    }
    let settle: (hasTurn: boolean) => void = () => undefined;
    const hasTurn = new Promise<boolean>((resolve) => {
      settle = (turn) => {
        this.#waiting.delete(settle);
        cancelTimer();
        resolve(turn);
      };
    });
    const cancel = (): void => {
      settle(false);
    };
    const cancelTimer = this.#clock.after(timeoutMs, cancel);
    this.#waiting.add(settle);
    return { hasTurn, cancel };
  }

  end(): void {
    const [next] = this.#waiting;
    if (next === undefined) this.#free += 1;
    else next(true);
  }
}
