/**
 * Every carrier that this incarnation has met, so that none runs twice, and the highest ballot it has heard of.
 *
 * Exact within a window of sequences per ballot; what is older than the window counts as met. Refusing is always safe (a
 * refused branch votes no), and a carrier that far behind its leader's newest one is long past its deadline. Lower
 * ballots need no memory: they are refused as a whole.
 */
import type { Ballot, CarrierId } from "../../shared/model/ids.ts";
import { carrierOrigin, ZERO_BALLOT } from "../../shared/model/ids.ts";
import { SequenceSet } from "../../shared/model/sequence-set.ts";

/** About one bit each: 128 KiB per ballot and window. */
const WINDOW = 1 << 20;

export class CarrierMemory {
  readonly #met = new SequenceSet();
  /** Per ballot: what lies below counts as met. */
  readonly #floors = new Map<Ballot, number>();
  #highest: Ballot = ZERO_BALLOT;

  get highestBallot(): Ballot {
    return this.#highest;
  }

  /** True when the ballot is a new highest one. */
  hear(ballot: Ballot): boolean {
    if (ballot <= this.#highest) return false;
    this.#highest = ballot;
    for (const known of this.#floors.keys()) {
      if (known >= ballot) continue;
      this.#floors.delete(known);
      this.#met.forget(known);
    }
    return true;
  }

  /** Remembers the carrier; false when it was met before, or may have been. */
  meet(carrier: CarrierId): boolean {
    const origin = carrierOrigin(carrier);
    if (origin === undefined || origin.ballot < this.#highest) return false;
    const { ballot, sequence } = origin;
    const floor = this.#floors.get(ballot) ?? 0;
    if (sequence < floor || this.#met.has(ballot, sequence)) return false;
    this.#met.add(ballot, sequence);
    // Moved once per window, by a whole one, so that it costs nothing per carrier.
    if (sequence - floor < 2 * WINDOW) {
      this.#floors.set(ballot, floor);
    } else {
      this.#floors.set(ballot, sequence - WINDOW);
      this.#met.forgetBelow(ballot, sequence - WINDOW);
    }
    return true;
  }

  /** Memory in use, in bytes. */
  get bytes(): number {
    return this.#met.bytes;
  }
}
