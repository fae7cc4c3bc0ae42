/** Small numbers by two small numbers: what every memory of an exploration is made of. Faster than a map of strings. */
const NONE = -1;

/** Taken once: looking up a global is slow where tests run. */
const { imul } = Math;

export class PairTable {
  #lefts = new Int32Array(1024);
  #rights = new Int32Array(1024);
  #values = new Int32Array(1024).fill(NONE);
  #size = 0;

  /** -1 where nothing was set. */
  get(left: number, right: number): number {
    return this.#values[this.#place(left, right)] ?? NONE;
  }

  set(left: number, right: number, value: number): void {
    const place = this.#place(left, right);
    const isNew = this.#values[place] === NONE;
    this.#lefts[place] = left;
    this.#rights[place] = right;
    this.#values[place] = value;
    if (isNew) this.#size += 1;
    if (2 * this.#size > this.#values.length) this.#grow();
  }

  /** Where the pair is, or would be. */
  #place(left: number, right: number): number {
    const mask = this.#values.length - 1;
    let mixed = imul(left, 0x9e3779b1) ^ imul(right, 0x85ebca6b);
    mixed = imul(mixed ^ (mixed >>> 15), 0x2c1b3c6d);
    let place = (mixed ^ (mixed >>> 13)) & mask;
    while (this.#values[place] !== NONE) {
      if (this.#lefts[place] === left && this.#rights[place] === right) return place;
      place = (place + 1) & mask;
    }
    return place;
  }

  #grow(): void {
    const [lefts, rights, values] = [this.#lefts, this.#rights, this.#values];
    this.#lefts = new Int32Array(2 * values.length);
    this.#rights = new Int32Array(2 * values.length);
    this.#values = new Int32Array(2 * values.length).fill(NONE);
    values.forEach((value, index) => {
      if (value === NONE) return;
      const place = this.#place(lefts[index] ?? 0, rights[index] ?? 0);
      this.#lefts[place] = lefts[index] ?? 0;
      this.#rights[place] = rights[index] ?? 0;
      this.#values[place] = value;
    });
  }
}
