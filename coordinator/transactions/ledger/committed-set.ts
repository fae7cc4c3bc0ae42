/**
 * Which sequences committed, one bit each, in chunks of 1024 per ballot, and when a chunk may be forgotten: when nothing in
 * it is owed any more and its newest commit or completion is older than the retention. Times are the ledger's own
 * (ledger-time.ts), which never goes back: so chunks age in the order in which they were active.
 *
 * Chunks are forgotten one by one, not ballot by ballot: a leader may serve for years, and a branch that never confirms
 * keeps its own chunk alone. All that is remembered of the forgotten is the highest one: at or below it, what is in no
 * chunk that is kept is forgotten, for ever, and a commit of it is void. So the newest chunk of a ballot that can still
 * commit is never forgotten, and its retention starts when the next one begins: whatever is in flight has that long.
 */
import { assert } from "../../../shared/model/assert.ts";
import type { Ballot } from "../../../shared/model/ids.ts";
import {
  CHUNK_BITS,
  CHUNK_WORDS,
  hasSequence,
  setSequence,
  type Chunk,
} from "../../../shared/model/sequence-set.ts";
import { malformed } from "./records.ts";

/** The place of a chunk; ordered by ballot, then index. */
export interface ChunkPlace {
  readonly ballot: Ballot;
  readonly index: number;
}

export interface ChunkImage extends ChunkPlace {
  /** The ledger's time at the newest commit or completion: what retention goes by. */
  readonly lastActiveMs: number;
  readonly words: Readonly<Chunk>;
}

export interface CommittedImage {
  readonly forgottenUpTo: ChunkPlace | null;
  /** Those that owe nothing come in the order in which they age. */
  readonly chunks: readonly ChunkImage[];
}

interface KeptChunk extends ChunkPlace {
  lastActiveMs: number;
  words: Chunk;
  /** The last image that may hold `words`: they are copied before they change after it. */
  copiedAfterImage: number;
  /** Commits that are not complete. */
  owed: number;
}

interface OfBallot {
  readonly chunks: Map<number, KeptChunk>;
  newest: number;
}

export class CommittedSet {
  readonly #byBallot = new Map<Ballot, OfBallot>();
  /** Chunks that owe nothing, in the order in which that began or was last renewed. */
  readonly #ageing = new Set<KeptChunk>();
  #forgottenUpTo: ChunkPlace | null = null;
  #chunks = 0;
  #images = 0;

  /** Memory in use, in bytes, without the maps' own overhead. */
  get bytes(): number {
    return this.#chunks * (CHUNK_BITS / 8);
  }

  has(ballot: Ballot, sequence: number): boolean {
    const chunk = this.#find(ballot, sequence);
    return chunk !== undefined && hasSequence(chunk.words, sequence);
  }

  isForgotten(ballot: Ballot, sequence: number): boolean {
    const place = { ballot, index: Math.floor(sequence / CHUNK_BITS) };
    const upTo = this.#forgottenUpTo;
    return upTo !== null && compare(place, upTo) <= 0 && this.#find(ballot, sequence) === undefined;
  }

  /** Committed, and owed until `settle`. */
  add(ballot: Ballot, sequence: number, passedMs: number): void {
    assert(!this.isForgotten(ballot, sequence), "what is forgotten is never committed");
    const chunk = this.#find(ballot, sequence) ?? this.#begin(ballot, sequence, passedMs);
    if (chunk.copiedAfterImage < this.#images) {
      chunk.words = chunk.words.slice();
      chunk.copiedAfterImage = this.#images;
    }
    setSequence(chunk.words, sequence);
    chunk.owed += 1;
    chunk.lastActiveMs = passedMs;
    this.#ageing.delete(chunk);
  }

  settle(ballot: Ballot, sequence: number, passedMs: number): void {
    const chunk = this.#find(ballot, sequence);
    assert(chunk !== undefined && chunk.owed > 0, "a chunk is kept while it owes something");
    chunk.owed -= 1;
    chunk.lastActiveMs = passedMs;
    if (chunk.owed === 0) this.#ageing.add(chunk);
  }

  /** Costs what is forgotten, and no more. */
  forget(floor: Ballot, passedMs: number, retentionMs: number): void {
    for (const chunk of this.#ageing) {
      if (passedMs - chunk.lastActiveMs <= retentionMs) return;
      if (!this.#mayGrow(chunk, floor)) this.#drop(chunk);
    }
  }

  /** What is now; later changes do not touch it. Bits are copied when they change, because few of many do. */
  image(): CommittedImage {
    const owing: KeptChunk[] = [];
    for (const { chunks } of this.#byBallot.values()) {
      for (const chunk of chunks.values()) if (chunk.owed > 0) owing.push(chunk);
    }
    const chunks = [...owing.sort(compare), ...this.#ageing].map(
      ({ ballot, index, lastActiveMs, words }) => ({ ballot, index, lastActiveMs, words }),
    );
    this.#images += 1;
    return { forgottenUpTo: this.#forgottenUpTo, chunks };
  }

  /** `owed` names every (ballot, sequence) that was added and is not settled, as often as it was added. */
  static of(image: CommittedImage, owed: Iterable<readonly [Ballot, number]>): CommittedSet {
    const set = new CommittedSet();
    set.#forgottenUpTo = image.forgottenUpTo;
    for (const { ballot, index, lastActiveMs, words } of image.chunks) {
      if (set.#byBallot.get(ballot)?.chunks.has(index) === true) malformed("a chunk comes twice");
      set.#keep({ ballot, index }, lastActiveMs, words.slice());
    }
    for (const [ballot, sequence] of owed) {
      const chunk = set.#find(ballot, sequence);
      if (chunk === undefined || !hasSequence(chunk.words, sequence)) {
        return malformed("what is owed is not committed");
      }
      chunk.owed += 1;
      set.#ageing.delete(chunk);
    }
    return set;
  }

  #find(ballot: Ballot, sequence: number): KeptChunk | undefined {
    return this.#byBallot.get(ballot)?.chunks.get(Math.floor(sequence / CHUNK_BITS));
  }

  #begin(ballot: Ballot, sequence: number, passedMs: number): KeptChunk {
    const index = Math.floor(sequence / CHUNK_BITS);
    const known = this.#byBallot.get(ballot);
    const before = known?.chunks.get(known.newest);
    if (before !== undefined && before.index < index) this.#renew(before, passedMs);
    return this.#keep({ ballot, index }, passedMs, new Uint32Array(CHUNK_WORDS));
  }

  #renew(chunk: KeptChunk, passedMs: number): void {
    chunk.lastActiveMs = passedMs;
    if (this.#ageing.delete(chunk)) this.#ageing.add(chunk);
  }

  #keep({ ballot, index }: ChunkPlace, lastActiveMs: number, words: Chunk): KeptChunk {
    const copiedAfterImage = this.#images;
    const chunk = { ballot, index, lastActiveMs, words, copiedAfterImage, owed: 0 };
    const known = this.#byBallot.get(ballot) ?? { chunks: new Map(), newest: index };
    known.chunks.set(index, chunk);
    known.newest = Math.max(known.newest, index);
    this.#byBallot.set(ballot, known);
    this.#ageing.add(chunk);
    this.#chunks += 1;
    return chunk;
  }

  #mayGrow({ ballot, index }: ChunkPlace, floor: Ballot): boolean {
    return ballot > floor || (ballot === floor && this.#byBallot.get(ballot)?.newest === index);
  }

  #drop(chunk: KeptChunk): void {
    const { ballot, index } = chunk;
    const upTo = this.#forgottenUpTo;
    if (upTo === null || compare(chunk, upTo) > 0) this.#forgottenUpTo = { ballot, index };
    this.#ageing.delete(chunk);
    this.#chunks -= 1;
    const known = this.#byBallot.get(ballot);
    known?.chunks.delete(index);
    if (known === undefined || known.chunks.size === 0) this.#byBallot.delete(ballot);
    else if (known.newest === index) known.newest = highest(known.chunks.keys());
  }
}

function highest(indexes: Iterable<number>): number {
  let found = 0;
  for (const index of indexes) found = Math.max(found, index);
  return found;
}

function compare(left: ChunkPlace, right: ChunkPlace): number {
  return left.ballot - right.ballot || left.index - right.index;
}
