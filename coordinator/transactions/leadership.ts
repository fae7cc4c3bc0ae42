/**
 * Under which ballot this node may begin and decide transactions, if any: set when its own barrier is applied, gone the
 * moment it stops leading. Hands out the sequence numbers of that ballot.
 */
import type { Ballot, Origin } from "../../shared/model/ids.ts";

export class Leadership {
  #leads: Ballot | undefined;
  #serves: Ballot | undefined;
  #sequence = 0;

  /** Elected; the barrier is not applied yet. */
  elected(ballot: Ballot): void {
    this.#leads = ballot;
    this.#serves = undefined;
    this.#sequence = 0;
  }

  /** A barrier was applied. True when that made this node serve. */
  barrierApplied(ballot: Ballot, floor: Ballot): boolean {
    if (this.#leads !== ballot || floor !== ballot || this.#serves === ballot) return false;
    this.#serves = ballot;
    return true;
  }

  ended(): void {
    this.#leads = undefined;
    this.#serves = undefined;
  }

  /** The ballot under which this node serves; undefined when it does not. */
  get ballot(): Ballot | undefined {
    return this.#serves;
  }

  /** Never twice the same under one ballot. */
  nextSequence(): number {
    this.#sequence += 1;
    return this.#sequence;
  }

  /** False: it is no leader's, as far as this one knows. Of earlier ballots nobody knows how far they got. */
  mayHaveGiven({ ballot, sequence }: Origin): boolean {
    if (this.#serves === undefined || ballot > this.#serves) return false;
    return ballot < this.#serves || sequence <= this.#sequence;
  }
}
