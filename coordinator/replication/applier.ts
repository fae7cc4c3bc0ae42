/**
 * Hands chosen slots and snapshots to the state machine: in slot order, each slot once, and never back (S1, S3).
 */
import { assert } from "../../shared/model/assert.ts";
import { nextSlot, ZERO_SLOT, type Slot } from "../../shared/model/ids.ts";
import type { ChosenSlot } from "../paxos/message.ts";

export interface AppliedEvents {
  /** Called once per slot, in slot order, from the first slot on after each start, but for what `restore` covers. */
  readonly apply: (chosen: ChosenSlot) => void;
  /** All that was applied so far, if anything, gives way to what this snapshot says. */
  readonly restore: (slot: Slot, chunks: Iterable<Uint8Array>) => void;
}

export class Applier {
  readonly #events: AppliedEvents;
  #appliedUpTo = ZERO_SLOT;

  constructor(events: AppliedEvents) {
    this.#events = events;
  }

  apply(chosen: ChosenSlot): void {
    assert(chosen.slot === nextSlot(this.#appliedUpTo), "S1: slots are applied in order");
    this.#appliedUpTo = chosen.slot;
    this.#events.apply(chosen);
  }

  restore(slot: Slot, chunks: Iterable<Uint8Array>): void {
    assert(slot > this.#appliedUpTo, "S3: a snapshot never moves the state back");
    this.#appliedUpTo = slot;
    this.#events.restore(slot, chunks);
  }
}
