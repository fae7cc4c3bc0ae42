/**
 * What no node sees: every vote ever cast, and so what is chosen. One number per (slot, round): the value, and a bit for
 * each node that accepted it.
 */
import { majority } from "../../../coordinator/paxos/recover.ts";
import type { Vote } from "./local-steps.ts";
import type { Scope } from "./scope.ts";

/** Votes by (slot, round); 0 where there is none. */
export type Votes = readonly number[];

const NODE_BITS = 5;

export class Ghost {
  readonly #slots: number;
  readonly #rounds: number;
  readonly #quorum: number;
  readonly #onlyAgreement: boolean;

  constructor(scope: Scope, slots: number) {
    this.#slots = slots;
    this.#rounds = scope.ballots;
    this.#quorum = majority(scope.nodes);
    this.#onlyAgreement = scope.onlyAgreement ?? false;
  }

  get size(): number {
    return this.#slots * this.#rounds;
  }

  #index(slot: number, round: number): number {
    return (slot - 1) * this.#rounds + round - 1;
  }

  hasVoted(votes: Votes, slot: number, round: number, node: number): boolean {
    return (((votes[this.#index(slot, round)] ?? 0) >> node) & 1) === 1;
  }

  /** The votes with these added, or what they break. */
  add(votes: Votes, node: number, added: readonly Vote[]): Votes | string {
    if (added.length === 0) return votes;
    const after = [...votes];
    for (const { slot, round, value } of added) {
      const index = this.#index(slot, round);
      const cast = after[index] ?? 0;
      if (cast !== 0 && cast >> NODE_BITS !== value + 1) {
        return `P1: two values were accepted in slot ${slot} under ballots of round ${round}`;
      }
      after[index] = ((value + 1) << NODE_BITS) | (cast & 31) | (1 << node);
    }
    return this.#broken(after) ?? after;
  }

  #broken(votes: Votes): string | undefined {
    for (let slot = 1; slot <= this.#slots; slot += 1) {
      let chosen: number | undefined;
      for (let round = 1; round <= this.#rounds; round += 1) {
        const cast = votes[this.#index(slot, round)] ?? 0;
        if (cast === 0) continue;
        const isOther = chosen !== undefined && chosen !== cast >> NODE_BITS;
        if (isOther && this.#isQuorum(cast)) return `C1: two values are chosen in slot ${slot}`;
        if (isOther && !this.#onlyAgreement) {
          return `C2: round ${round} proposes another value than the chosen one in slot ${slot}`;
        }
        if (this.#isQuorum(cast)) chosen ??= cast >> NODE_BITS;
      }
    }
    return undefined;
  }

  #isQuorum(cast: number): boolean {
    let count = 0;
    for (let bits = cast & 31; bits > 0; bits >>= 1) count += bits & 1;
    return count >= this.#quorum;
  }

  /** Whether a quorum accepted this value in this slot under one ballot. */
  isChosen(votes: Votes, slot: number, value: number): boolean {
    for (let round = 1; round <= this.#rounds; round += 1) {
      const cast = votes[this.#index(slot, round)] ?? 0;
      if (cast >> NODE_BITS === value + 1 && this.#isQuorum(cast)) return true;
    }
    return false;
  }
}
