/**
 * An immutable map from slots to entries: a radix tree of 32-wide nodes. `set` copies one path and shares the rest, so
 * that every state of the core is a value of its own and keeping an old one costs nothing. `truncate` forgets a prefix for
 * good: what it held is released once no older log is.
 */
import { assert } from "../../shared/model/assert.ts";
import type { Slot } from "../../shared/model/ids.ts";

const BITS = 5;
const WIDTH = 1 << BITS;

type Branch<Entry> = readonly (Branch<Entry> | Entry | undefined)[];

const capacityAt = (height: number): number => WIDTH ** (height + 1);
const indexAt = (slot: number, height: number): number =>
  Math.floor(slot / WIDTH ** height) % WIDTH;

function withEntry<Entry>(
  branch: Branch<Entry> | undefined,
  height: number,
  slot: number,
  entry: Entry,
): Branch<Entry> {
  const copy = branch === undefined ? [] : branch.slice();
  const index = indexAt(slot, height);
  copy[index] =
    height === 0
      ? entry
      : withEntry(copy[index] as Branch<Entry> | undefined, height - 1, slot, entry);
  return copy;
}

/** The lowest slot from `first` on that is filled below `branch`; its cost does not depend on how far away that is. */
function filledFrom<Entry>(
  branch: Branch<Entry>,
  height: number,
  first: number,
): number | undefined {
  const width = WIDTH ** height;
  const start = indexAt(first, height);
  for (let index = start; index < branch.length; index += 1) {
    const child = branch[index];
    if (child === undefined) continue;
    const from = index === start ? first : (Math.floor(first / width) - start + index) * width;
    if (height === 0) return from;
    const found = filledFrom(child as Branch<Entry>, height - 1, from);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Without the entries of slots up to `upTo`. */
function without<Entry>(branch: Branch<Entry>, height: number, upTo: number): Branch<Entry> {
  const copy = branch.slice();
  const index = indexAt(upTo, height);
  copy.fill(undefined, 0, height === 0 ? index + 1 : index);
  const child = height === 0 ? undefined : (copy[index] as Branch<Entry> | undefined);
  if (child !== undefined) copy[index] = without(child, height - 1, upTo);
  return copy;
}

export class SlotLog<Entry extends object> {
  readonly #root: Branch<Entry>;
  readonly #height: number;
  /** Slots up to here hold nothing any more, and never will again. */
  readonly truncatedUpTo: Slot;
  /** The highest slot that holds an entry; `truncatedUpTo` when none does. */
  readonly highest: Slot;

  private constructor(root: Branch<Entry>, height: number, truncatedUpTo: Slot, highest: Slot) {
    this.#root = root;
    this.#height = height;
    this.truncatedUpTo = truncatedUpTo;
    this.highest = highest;
  }

  static empty<Entry extends object>(): SlotLog<Entry> {
    return new SlotLog<Entry>([], 0, 0 as Slot, 0 as Slot);
  }

  get(slot: Slot): Entry | undefined {
    if (slot > this.highest) return undefined;
    let branch: Branch<Entry> | undefined = this.#root;
    for (let height = this.#height; height > 0 && branch !== undefined; height -= 1) {
      branch = branch[indexAt(slot, height)] as Branch<Entry> | undefined;
    }
    return branch?.[indexAt(slot, 0)] as Entry | undefined;
  }

  set(slot: Slot, entry: Entry): SlotLog<Entry> {
    assert(slot > this.truncatedUpTo, "slots count from 1, and on from what was truncated");
    let root = this.#root;
    let height = this.#height;
    for (; slot >= capacityAt(height); height += 1) root = [root];
    const highest = slot > this.highest ? slot : this.highest;
    return new SlotLog(withEntry(root, height, slot, entry), height, this.truncatedUpTo, highest);
  }

  truncate(upTo: Slot): SlotLog<Entry> {
    if (upTo <= this.truncatedUpTo) return this;
    if (upTo >= this.highest) return new SlotLog<Entry>([], 0, upTo, upTo);
    const root = without(this.#root, this.#height, upTo);
    return new SlotLog(root, this.#height, upTo, this.highest);
  }

  /** Every filled slot from `first` on, ascending. */
  *from(first: Slot): Generator<readonly [Slot, Entry]> {
    let next = this.#filledFrom(first > this.truncatedUpTo ? first : this.truncatedUpTo);
    while (next !== undefined) {
      const entry = this.get(next);
      if (entry !== undefined) yield [next, entry];
      next = this.#filledFrom((next + 1) as Slot);
    }
  }

  #filledFrom(first: Slot): Slot | undefined {
    if (first > this.highest) return undefined;
    return filledFrom(this.#root, this.#height, first) as Slot | undefined;
  }
}
