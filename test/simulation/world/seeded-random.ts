/**
 * The only source of chance in a simulation: sfc32, seeded through splitmix32. Each part of the world draws from a fork of
 * its own, so that one more draw here does not shift every draw there, and a minimised run stays close to the original.
 */
import type { Random } from "../../../shared/model/ports.ts";

const ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz";

function hashText(text: string, from: number): number {
  let hash = from ^ 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  return hash >>> 0;
}

export class SeededRandom implements Random {
  readonly #seed: number;
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: number) {
    this.#seed = seed >>> 0;
    let state = this.#seed;
    const next = (): number => {
      state = (state + 0x9e3779b9) | 0;
      let mixed = state ^ (state >>> 16);
      mixed = Math.imul(mixed, 0x21f0aaad);
      mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
      return mixed ^ (mixed >>> 15);
    };
    this.#a = next();
    this.#b = next();
    this.#c = next();
    for (let round = 0; round < 12; round += 1) this.#next();
  }

  /** A stream of its own; the same name gives the same stream, however much was drawn from this one. */
  fork(name: string): SeededRandom {
    return new SeededRandom(hashText(name, this.#seed));
  }

  #next(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (this.#c << 21) | (this.#c >>> 11);
    this.#c = (this.#c + sum) | 0;
    return sum >>> 0;
  }

  /** In [0, 1). */
  fraction(): number {
    return this.#next() / 2 ** 32;
  }

  integer(below: number): number {
    return Math.floor(this.fraction() * below);
  }

  token(length: number): string {
    let token = "";
    for (let index = 0; index < length; index += 1) token += ALPHABET[this.integer(36)] ?? "";
    return token;
  }

  chance(probability: number): boolean {
    return probability > 0 && this.fraction() < probability;
  }

  between(low: number, high: number): number {
    return low + this.fraction() * (high - low);
  }

  /** Exponential with the given mean, cut off at twenty times the mean. */
  exponential(mean: number): number {
    return Math.min(-Math.log(1 - this.fraction()), 20) * mean;
  }

  pick<Item>(items: readonly Item[]): Item {
    const item = items[this.integer(items.length)];
    if (item === undefined) throw new Error("nothing to pick from");
    return item;
  }

  /** Zero in some worlds, anything up to `most` in others: each seed has a character of its own. */
  knob(most: number, offChance = 0.4): number {
    return this.chance(offChance) ? 0 : this.between(0, most);
  }
}
