/**
 * Everything between two machines: delay, loss, repetition, clogs, and walls that may stand in one direction only.
 * Machines are named; who they are is not known here.
 */
import type { Tally } from "../checkers/tally.ts";
import type { Scheduler } from "./scheduler.ts";
import type { SeededRandom } from "./seeded-random.ts";

export interface NetworkCharacter {
  readonly lossChance: number;
  readonly duplicateChance: number;
  readonly minDelayMs: number;
  /** Mean of what comes on top of `minDelayMs`, exponentially distributed: messages overtake each other. */
  readonly meanDelayMs: number;
}

/** What is left when all faults have ended. */
const CALM_NETWORK: NetworkCharacter = {
  lossChance: 0,
  duplicateChance: 0,
  minDelayMs: 0.2,
  meanDelayMs: 0.5,
};

export class SimulatedNetwork {
  readonly #scheduler: Scheduler;
  readonly #random: SeededRandom;
  readonly #tally: Tally;
  readonly #walls = new Map<string, number>();
  readonly #cloggedUntilMs = new Map<string, number>();
  character: NetworkCharacter;

  constructor(
    scheduler: Scheduler,
    random: SeededRandom,
    character: NetworkCharacter,
    tally: Tally,
  ) {
    this.#tally = tally;
    this.#scheduler = scheduler;
    this.#random = random;
    this.character = character;
  }

  /** Walls add up: each `block` needs its `unblock`. */
  block(from: string, to: string): void {
    this.#walls.set(`${from}>${to}`, this.#wallsBetween(from, to) + 1);
  }

  unblock(from: string, to: string): void {
    this.#walls.set(`${from}>${to}`, Math.max(0, this.#wallsBetween(from, to) - 1));
  }

  isBlocked(from: string, to: string): boolean {
    return this.#wallsBetween(from, to) > 0;
  }

  #wallsBetween(from: string, to: string): number {
    return this.#walls.get(`${from}>${to}`) ?? 0;
  }

  /** What is sent from now on arrives only after `forMs`, all at once. */
  clog(from: string, to: string, forMs: number): void {
    this.#cloggedUntilMs.set(`${from}>${to}`, this.#scheduler.nowMs + forMs);
  }

  heal(): void {
    this.#walls.clear();
    this.#cloggedUntilMs.clear();
    this.character = CALM_NETWORK;
  }

  delayMs(from: string, to: string): number {
    const { minDelayMs, meanDelayMs } = this.character;
    const clogMs = (this.#cloggedUntilMs.get(`${from}>${to}`) ?? 0) - this.#scheduler.nowMs;
    return minDelayMs + this.#random.exponential(meanDelayMs) + Math.max(0, clogMs);
  }

  /** When the copies of one datagram arrive; none when it is lost. */
  copies(from: string, to: string): readonly number[] {
    const { lossChance, duplicateChance } = this.character;
    if (this.isBlocked(from, to)) {
      this.#tally.count("message met a wall");
      return [];
    }
    if (this.#random.chance(lossChance)) {
      this.#tally.count("fault: message lost");
      return [];
    }
    const delays = [this.delayMs(from, to)];
    while (delays.length < 4 && this.#random.chance(duplicateChance)) {
      delays.push(this.delayMs(from, to) * this.#random.between(1, 8));
      this.#tally.count("fault: message repeated");
    }
    return delays;
  }
}
