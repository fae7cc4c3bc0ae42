/**
 * An immutable map from slots to entries: a radix tree of 32-wide nodes. `set` copies one path and shares the rest, so
 * that every state of the core is a value of its own and keeping an old one costs nothing.
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

export class SlotLog<Entry extends object> {
  readonly #root: Branch<Entry>;
  readonly #height: number;
  /** The highest slot that holds an entry; 0 when empty. */
  readonly highest: Slot;

  private constructor(root: Branch<Entry>, height: number, highest: Slot) {
    this.#root = root;
    this.#height = height;
    this.highest = highest;
  }

  static empty<Entry extends object>(): SlotLog<Entry> {
    return new SlotLog<Entry>([], 0, 0 as Slot);
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
    assert(slot > 0, "slots count from 1");
    let root = this.#root;
    let height = this.#height;
    for (; slot >= capacityAt(height); height += 1) root = [root];
    const highest = slot > this.highest ? slot : this.highest;
    return new SlotLog(withEntry(root, height, slot, entry), height, highest);
  }

  /** Every filled slot from `first` on, ascending. */
  *from(first: Slot): Generator<readonly [Slot, Entry]> {
    for (let slot = first; slot <= this.highest; slot = (slot + 1) as Slot) {
      const entry = this.get(slot);
      if (entry !== undefined) yield [slot, entry];
    }
  }
}
