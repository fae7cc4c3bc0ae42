/**
 * What no node sees: every vote that matters, and so what is chosen. One number per (slot, round): the value, and a bit
 * for each node that accepted it.
 *
 * A vote matters while its ballot could still be chosen with a value that is not. Of what is chosen only the value and
 * the ballot are kept. Both make states equal that no check could ever tell apart.
 */
import { majority } from "../../../coordinator/paxos/recover.ts";
import type { Value } from "../../../coordinator/paxos/message.ts";
import { valueText } from "./canonical.ts";
import type { Interner } from "./interner.ts";
import type { Vote } from "./local-steps.ts";
import type { Scope } from "./scope.ts";

/** Votes by (slot, round); 0 where there is none that matters. */
export type Votes = readonly number[];

const NODE_BITS = 5;
const EVERYONE = (1 << NODE_BITS) - 1;
const valueOf = (cast: number): number => (cast >> NODE_BITS) - 1;

export class Ghost {
  readonly #nodes: number;
  readonly #slots: number;
  readonly #rounds: number;
  readonly #quorum: number;
  readonly #onlyAgreement: boolean;
  readonly #values: Interner<Value>;

  constructor(scope: Scope, values: Interner<Value>) {
    this.#nodes = scope.nodes;
    this.#slots = scope.slots;
    this.#rounds = scope.ballots;
    this.#quorum = majority(scope.nodes);
    this.#onlyAgreement = scope.onlyAgreement ?? false;
    this.#values = values;
  }

  get size(): number {
    return this.#slots * this.#rounds;
  }

  /** The votes with these added, or what they break. */
  add(votes: Votes, node: number, added: readonly Vote[]): Votes | string {
    if (added.length === 0) return votes;
    const after = [...votes];
    for (const { slot, round, value } of added) {
      const index = (slot - 1) * this.#rounds + round - 1;
      const cast = after[index] ?? 0;
      if (cast !== 0 && valueOf(cast) !== value) {
        return `P1: two values were accepted in slot ${slot} under ballots of round ${round}`;
      }
      if (!this.#isValid(value, slot, round)) return `C4: nobody submitted what slot ${slot} holds`;
      after[index] = ((value + 1) << NODE_BITS) | (cast & EVERYONE) | (1 << node);
    }
    return this.#broken(after) ?? after;
  }

  /** C4. Values of other clients than the explorer's own are taken as they are. */
  #isValid(value: number, slot: number, round: number): boolean {
    const match = /^value (\d+)\.(\d+)$/.exec(valueText(this.#values.get(value)));
    return match === null || (Number(match[1]) <= round && Number(match[2]) === slot);
  }

  #broken(votes: Votes): string | undefined {
    for (let slot = 1; slot <= this.#slots; slot += 1) {
      let chosen: number | undefined;
      for (const cast of this.#castIn(votes, slot)) {
        if (cast === 0) continue;
        const isOther = chosen !== undefined && chosen !== valueOf(cast);
        if (isOther && this.#isQuorum(cast)) return `C1: two values are chosen in slot ${slot}`;
        if (isOther && !this.#onlyAgreement) {
          return `C2: another value than the chosen one is proposed in slot ${slot}`;
        }
        if (this.#isQuorum(cast)) chosen ??= valueOf(cast);
      }
    }
    return undefined;
  }

  #castIn(votes: Votes, slot: number): Votes {
    return votes.slice((slot - 1) * this.#rounds, slot * this.#rounds);
  }

  #isQuorum(cast: number): boolean {
    let count = 0;
    for (let bits = cast & EVERYONE; bits > 0; bits >>= 1) count += bits & 1;
    return count >= this.#quorum;
  }

  /** Drops what cannot matter any more. `promisedRound` is what each node promised and will not forget. */
  relevant(votes: Votes, promisedRound: (node: number) => number): Votes {
    const after: number[] = [];
    for (let slot = 1; slot <= this.#slots; slot += 1) {
      const casts = this.#castIn(votes, slot);
      const winner = casts.findIndex((cast) => this.#isQuorum(cast));
      const chosen = winner < 0 ? undefined : valueOf(casts[winner] ?? 0);
      casts.forEach((cast, index) => {
        if (index === winner) after.push(cast | EVERYONE);
        else if (cast === 0 || valueOf(cast) === chosen) after.push(0);
        else after.push(this.#canBeChosen(cast, index + 1, promisedRound) ? cast : 0);
      });
    }
    return after;
  }

  #canBeChosen(cast: number, round: number, promisedRound: (node: number) => number): boolean {
    let count = 0;
    for (let node = 0; node < this.#nodes; node += 1) {
      if (((cast >> node) & 1) === 1 || promisedRound(node) <= round) count += 1;
    }
    return count >= this.#quorum;
  }

  /** Whether a quorum accepted this value in this slot under one ballot. */
  isChosen(votes: Votes, slot: number, value: number): boolean {
    return this.#castIn(votes, slot).some(
      (cast) => valueOf(cast) === value && this.#isQuorum(cast),
    );
  }

  /** What is chosen, in words. */
  chosenText(votes: Votes): string {
    const words: string[] = [];
    for (let slot = 1; slot <= this.#slots; slot += 1) {
      const winner = this.#castIn(votes, slot).find((cast) => this.#isQuorum(cast));
      if (winner === undefined) continue;
      words.push(`${slot}: ${valueText(this.#values.get(valueOf(winner))) || "no-op"}`);
    }
    return words.join(", ");
  }
}
