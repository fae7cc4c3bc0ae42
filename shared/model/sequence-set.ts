/**
 * A compact set of (ballot, sequence): about one bit each, because leaders number their carriers and transactions densely.
 * Mutable. Chunks of 1024 sequences are made when first touched.
 */
import { assert } from "./assert.ts";
import type { Ballot } from "./ids.ts";

/** Sequences in one chunk. */
export const CHUNK_BITS = 1024;
const WORD_BITS = 32;
export const CHUNK_WORDS = CHUNK_BITS / WORD_BITS;

/** One bit per sequence of a chunk. */
export type Chunk = Uint32Array;

export function setSequence(chunk: Chunk, sequence: number): void {
  const bit = sequence % CHUNK_BITS;
  const word = Math.floor(bit / WORD_BITS);
  chunk[word] = (chunk[word] ?? 0) | (1 << (bit % WORD_BITS));
}

export function hasSequence(chunk: Chunk, sequence: number): boolean {
  const bit = sequence % CHUNK_BITS;
  return ((chunk[Math.floor(bit / WORD_BITS)] ?? 0) & (1 << (bit % WORD_BITS))) !== 0;
}

export class SequenceSet {
  readonly #byBallot = new Map<Ballot, Map<number, Chunk>>();
  #chunks = 0;

  add(ballot: Ballot, sequence: number): void {
    assert(Number.isSafeInteger(sequence) && sequence >= 0, "a sequence is a non-negative integer");
    let chunks = this.#byBallot.get(ballot);
    if (chunks === undefined) {
      chunks = new Map();
      this.#byBallot.set(ballot, chunks);
    }
    const index = Math.floor(sequence / CHUNK_BITS);
    let chunk = chunks.get(index);
    if (chunk === undefined) {
      chunk = new Uint32Array(CHUNK_WORDS);
      chunks.set(index, chunk);
      this.#chunks += 1;
    }
    setSequence(chunk, sequence);
  }

  has(ballot: Ballot, sequence: number): boolean {
    const chunk = this.#byBallot.get(ballot)?.get(Math.floor(sequence / CHUNK_BITS));
    return chunk !== undefined && hasSequence(chunk, sequence);
  }

  /** Forgets everything of a ballot. */
  forget(ballot: Ballot): void {
    this.#chunks -= this.#byBallot.get(ballot)?.size ?? 0;
    this.#byBallot.delete(ballot);
  }

  /** Forgets what lies below `sequence` under this ballot, except in the chunk that holds it. */
  forgetBelow(ballot: Ballot, sequence: number): void {
    const chunks = this.#byBallot.get(ballot);
    const first = Math.floor(sequence / CHUNK_BITS);
    for (const index of chunks?.keys() ?? []) {
      if (index < first && chunks?.delete(index) === true) this.#chunks -= 1;
    }
  }

  /** Memory in use, in bytes, without the maps' own overhead. */
  get bytes(): number {
    return this.#chunks * (CHUNK_BITS / 8);
  }
}
