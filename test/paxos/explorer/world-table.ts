/**
 * Every world that was met, each once, in the order they were met, and how each was first reached. A world is a row of
 * small numbers; two are the same only when all of them are (a hash finds the candidates and decides nothing).
 */
const PAGE_WORDS = 1 << 18;

/** Taken once: looking up a global is slow where tests run. */
const { floor, imul } = Math;

export class WorldTable {
  readonly #pages: Uint32Array[] = [];
  #used = PAGE_WORDS;
  #starts = new Float64Array(1024);
  #lengths = new Uint16Array(1024);
  #hashes = new Int32Array(1024);
  #parents = new Int32Array(1024);
  #actions = new Uint32Array(1024);
  /** One more than the index of the world in that place; 0 where there is none. */
  #places = new Int32Array(2048);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  parentOf(index: number): number {
    return this.#parents[index] ?? -1;
  }

  actionOf(index: number): number {
    return this.#actions[index] ?? 0;
  }

  /** Copies a world to `into`; the number of its words. */
  load(index: number, into: Uint32Array): number {
    const start = this.#starts[index] ?? 0;
    const length = this.#lengths[index] ?? 0;
    const page = this.#pages[floor(start / PAGE_WORDS)];
    if (page === undefined || index >= this.#size) throw new Error(`there is no world ${index}`);
    const from = start % PAGE_WORDS;
    for (let at = 0; at < length; at += 1) into[at] = page[from + at] ?? 0;
    return length;
  }

  /** False when it was met before. */
  add(words: Uint32Array, length: number, parent: number, action: number): boolean {
    const hash = hashOf(words, length);
    const place = this.#placeOf(words, length, hash);
    if (this.#places[place] !== 0) return false;
    const index = this.#size;
    if (index === this.#lengths.length) this.#growColumns();
    this.#starts[index] = this.#store(words, length);
    this.#lengths[index] = length;
    this.#hashes[index] = hash;
    this.#parents[index] = parent;
    this.#actions[index] = action;
    this.#size = index + 1;
    this.#places[place] = this.#size;
    if (2 * this.#size > this.#places.length) this.#growPlaces();
    return true;
  }

  #placeOf(words: Uint32Array, length: number, hash: number): number {
    const mask = this.#places.length - 1;
    let place = hash & mask;
    for (let taken = this.#places[place] ?? 0; taken !== 0; taken = this.#places[place] ?? 0) {
      if (this.#hashes[taken - 1] === hash && this.#equals(taken - 1, words, length)) return place;
      place = (place + 1) & mask;
    }
    return place;
  }

  #equals(index: number, words: Uint32Array, length: number): boolean {
    if (this.#lengths[index] !== length) return false;
    const start = this.#starts[index] ?? 0;
    const page = this.#pages[floor(start / PAGE_WORDS)];
    const from = start % PAGE_WORDS;
    for (let at = 0; at < length; at += 1) if (page?.[from + at] !== words[at]) return false;
    return true;
  }

  /** No world lies across two pages. */
  #store(words: Uint32Array, length: number): number {
    if (this.#used + length > PAGE_WORDS) {
      this.#pages.push(new Uint32Array(PAGE_WORDS));
      this.#used = 0;
    }
    const start = (this.#pages.length - 1) * PAGE_WORDS + this.#used;
    this.#pages.at(-1)?.set(words.subarray(0, length), this.#used);
    this.#used += length;
    return start;
  }

  #growColumns(): void {
    const capacity = 2 * this.#lengths.length;
    const starts = new Float64Array(capacity);
    starts.set(this.#starts);
    this.#starts = starts;
    const lengths = new Uint16Array(capacity);
    lengths.set(this.#lengths);
    this.#lengths = lengths;
    const actions = new Uint32Array(capacity);
    actions.set(this.#actions);
    this.#actions = actions;
    this.#hashes = wider(this.#hashes, capacity);
    this.#parents = wider(this.#parents, capacity);
  }

  #growPlaces(): void {
    this.#places = new Int32Array(2 * this.#places.length);
    const mask = this.#places.length - 1;
    for (let index = 0; index < this.#size; index += 1) {
      let place = (this.#hashes[index] ?? 0) & mask;
      while (this.#places[place] !== 0) place = (place + 1) & mask;
      this.#places[place] = index + 1;
    }
  }
}

function wider(column: Int32Array, capacity: number): Int32Array<ArrayBuffer> {
  const copy = new Int32Array(capacity);
  copy.set(column);
  return copy;
}

function hashOf(words: Uint32Array, length: number): number {
  let hash = length;
  for (let at = 0; at < length; at += 1) {
    hash = imul(hash ^ (words[at] ?? 0), 0x5bd1e995);
    hash ^= hash >>> 15;
  }
  hash = imul(hash ^ (hash >>> 13), 0x2c1b3c6d);
  return hash ^ (hash >>> 16);
}
