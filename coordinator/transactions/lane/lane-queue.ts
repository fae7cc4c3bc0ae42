/**
 * Which waiting transactions go together in the next carrier, and when: pure book-keeping.
 *
 * Transactions of the same shards wait in one line. A line's head goes as soon as no carrier executes on any of its shards, with as
 * many behind it as the carrier takes: so the carriers of one shard execute one after the other, in one order on all shards,
 * and none of them can wait for a later one. No timer gathers them: what comes while a carrier executes goes with the next one.
 * The order of lines is that of their heads' arrival. A slow shard holds up the lines that need it, and no others.
 *
 * How many go together is found out by trying, line by line: one more after each carrier that commits, half as many after one that
 * a member has spoiled. A line of which only single ones get through is closed, and opens again a little with each success.
 */
import { assert } from "../../../shared/model/assert.ts";
import type { ShardId } from "../../../shared/model/ids.ts";
import { CARRIER_MEMBERS } from "../../../shared/model/protocol.ts";

export const LANE_QUEUE_LIMITS = {
  /** Of all lines; what comes beyond takes the ordinary path. */
  maxWaiting: 1_024,
  /** In one carrier, over all its members. */
  maxOperations: 256,
  maxCharacters: 128 * 1024,
  /** Lines of which is remembered how many go together. */
  maxRememberedLines: 1_024,
} as const;

/** Together from two on. */
const OPEN_FROM = 2;
const OPENS_BY_SUCCESS = 0.1;

export interface Waiting {
  /** All that go together have the same, and the same shards. */
  readonly line: string;
  readonly shards: readonly ShardId[];
  readonly sinceMs: number;
  readonly operations: number;
  readonly characters: number;
}

export class LaneQueue<Entry extends Waiting> {
  readonly #lines = new Map<string, Entry[]>();
  readonly #executing = new Set<ShardId>();
  /** Where it is not the largest number. */
  readonly #together = new Map<string, number>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  isOpen(line: string): boolean {
    return this.#size < LANE_QUEUE_LIMITS.maxWaiting && this.#togetherOn(line) >= OPEN_FROM;
  }

  add(entry: Entry): void {
    const line = this.#lines.get(entry.line);
    if (line === undefined) this.#lines.set(entry.line, [entry]);
    else line.push(entry);
    this.#size += 1;
  }

  /** Before all others of their line. */
  putBack(entries: readonly Entry[]): void {
    const [first] = entries;
    if (first === undefined) return;
    this.#lines.set(first.line, [...entries, ...(this.#lines.get(first.line) ?? [])]);
    this.#size += entries.length;
  }

  /** The members of a carrier that may execute now; from now on it does so on all its shards. */
  next(): readonly [Entry, ...Entry[]] | undefined {
    let oldest: Entry[] | undefined;
    for (const line of this.#lines.values()) {
      const [head] = line;
      if (head === undefined || head.shards.some((shard) => this.#executing.has(shard))) continue;
      if (oldest?.[0] === undefined || head.sinceMs < oldest[0].sinceMs) oldest = line;
    }
    if (oldest === undefined) return undefined;
    const members = this.#take(oldest);
    for (const shard of members[0].shards) this.#executing.add(shard);
    return members;
  }

  /** No carrier executes there any more. */
  freed(shard: ShardId): void {
    assert(this.#executing.delete(shard), "a shard is freed once by each carrier");
  }

  /** Removes and returns those that came before. */
  takeOlderThan(ms: number): readonly Entry[] {
    const taken: Entry[] = [];
    for (const line of [...this.#lines.values()]) {
      const young = line.findIndex(({ sinceMs }) => sinceMs >= ms);
      taken.push(...this.#remove(line, young < 0 ? line.length : young));
    }
    return taken;
  }

  committedTogether(line: string): void {
    this.#remember(line, this.#togetherOn(line) + 1);
  }

  spoilt(line: string): void {
    this.#remember(line, Math.max(1, this.#togetherOn(line) / 2));
  }

  /** By the ordinary path. */
  committedAlone(line: string): void {
    const together = this.#togetherOn(line);
    if (together < OPEN_FROM) this.#remember(line, together + OPENS_BY_SUCCESS);
  }

  #togetherOn(line: string): number {
    return this.#together.get(line) ?? CARRIER_MEMBERS;
  }

  #remember(line: string, together: number): void {
    this.#together.delete(line);
    if (together >= CARRIER_MEMBERS) return;
    this.#together.set(line, together);
    const [oldest] = this.#together.keys();
    const isFull = this.#together.size > LANE_QUEUE_LIMITS.maxRememberedLines;
    if (isFull && oldest !== undefined) this.#together.delete(oldest);
  }

  #take(line: Entry[]): readonly [Entry, ...Entry[]] {
    const [head] = line;
    assert(head !== undefined, "a line that waits has a head");
    const { maxOperations, maxCharacters } = LANE_QUEUE_LIMITS;
    const most = Math.floor(this.#togetherOn(head.line));
    let { operations, characters } = head;
    let count = 1;
    for (const { operations: more, characters: longer } of line.slice(1, most)) {
      operations += more;
      characters += longer;
      if (operations > maxOperations || characters > maxCharacters) break;
      count += 1;
    }
    const [, ...others] = this.#remove(line, count);
    return [head, ...others];
  }

  #remove(line: Entry[], count: number): readonly Entry[] {
    const removed = line.splice(0, count);
    this.#size -= removed.length;
    const [one] = removed;
    if (line.length === 0 && one !== undefined) this.#lines.delete(one.line);
    return removed;
  }
}
