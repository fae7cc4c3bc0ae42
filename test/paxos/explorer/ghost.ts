/**
 * What no node sees: every vote that matters, and so what is chosen. For each (slot, round) one number: the value, and a
 * bit for each node that accepted it. Such a table of votes is interned, so that each question is worked out once.
 *
 * A vote matters while its ballot could still be chosen with a value that is not. Of what is chosen only the value and
 * the ballot are kept. Both make states equal that no check could ever tell apart.
 */
import { majority } from "../../../coordinator/paxos/recover.ts";
import type { Value } from "../../../coordinator/paxos/message.ts";
import { valueText } from "./canonical.ts";
import { Interner } from "./interner.ts";
import type { Node, Vote } from "./local-steps.ts";
import type { Scope } from "./scope.ts";

interface Votes {
  /** By slot, then round; 0 where there is none that matters. */
  readonly casts: readonly number[];
  /** By slot, from 1: the id of the chosen value, or undefined. */
  readonly chosen: readonly (number | undefined)[];
}

const NODE_BITS = 5;
const EVERYONE = (1 << NODE_BITS) - 1;
const valueOf = (cast: number): number => (cast >> NODE_BITS) - 1;

export class Ghost {
  readonly #scope: Scope;
  readonly #quorum: number;
  readonly #values: Interner<Value>;
  readonly #votes = new Interner<Votes>();
  readonly #relevant = new Map<number, number>();

  constructor(scope: Scope, values: Interner<Value>) {
    this.#scope = scope;
    this.#quorum = majority(scope.nodes);
    this.#values = values;
  }

  /** The id of the table without any vote. */
  none(): number {
    return this.#idOf(Array<number>(this.#scope.slots * this.#scope.ballots).fill(0));
  }

  #idOf(casts: readonly number[]): number {
    return this.#votes.idOf(casts.join(), () => {
      const chosen: (number | undefined)[] = [undefined];
      for (let slot = 1; slot <= this.#scope.slots; slot += 1) {
        const winner = this.#castIn(casts, slot).find((cast) => this.#isQuorum(cast));
        chosen.push(winner === undefined ? undefined : valueOf(winner));
      }
      return { casts, chosen };
    });
  }

  #castIn(casts: readonly number[], slot: number): readonly number[] {
    const { ballots } = this.#scope;
    return casts.slice((slot - 1) * ballots, slot * ballots);
  }

  #isQuorum(cast: number): boolean {
    let count = 0;
    for (let bits = cast & EVERYONE; bits > 0; bits >>= 1) count += bits & 1;
    return count >= this.#quorum;
  }

  /** The id of the table with these votes added, or what they break. */
  add(id: number, node: number, added: readonly Vote[]): number | string {
    if (added.length === 0) return id;
    const after = [...this.#votes.get(id).casts];
    for (const { slot, round, value } of added) {
      const index = (slot - 1) * this.#scope.ballots + round - 1;
      const cast = after[index] ?? 0;
      if (cast !== 0 && valueOf(cast) !== value) {
        return `P1: two values were accepted in slot ${slot} under ballots of round ${round}`;
      }
      if (!this.#isValid(value, slot, round)) return `C4: nobody submitted what slot ${slot} holds`;
      after[index] = ((value + 1) << NODE_BITS) | (cast & EVERYONE) | (1 << node);
    }
    return this.#broken(after) ?? this.#idOf(after);
  }

  /** C4. Values of other clients than the explorer's own are taken as they are. */
  #isValid(value: number, slot: number, round: number): boolean {
    const match = /^value (\d+)\.(\d+)$/.exec(valueText(this.#values.get(value)));
    return match === null || (Number(match[1]) <= round && Number(match[2]) === slot);
  }

  #broken(casts: readonly number[]): string | undefined {
    for (let slot = 1; slot <= this.#scope.slots; slot += 1) {
      let chosen: number | undefined;
      for (const cast of this.#castIn(casts, slot)) {
        if (cast === 0) continue;
        const isOther = chosen !== undefined && chosen !== valueOf(cast);
        if (isOther && this.#isQuorum(cast)) return `C1: two values are chosen in slot ${slot}`;
        if (isOther && this.#scope.onlyAgreement !== true) {
          return `C2: another value than the chosen one is proposed in slot ${slot}`;
        }
        if (this.#isQuorum(cast)) chosen ??= valueOf(cast);
      }
    }
    return undefined;
  }

  /** The id of the table without what cannot matter any more, given what each node promised and will not forget. */
  relevant(id: number, nodes: readonly Node[]): number {
    let key = id;
    for (const { promisedRound } of nodes) key = key * (this.#scope.ballots + 1) + promisedRound;
    const known = this.#relevant.get(key);
    if (known !== undefined) return known;
    const relevant = this.#idOf(this.#relevantCasts(this.#votes.get(id).casts, nodes));
    this.#relevant.set(key, relevant);
    return relevant;
  }

  #relevantCasts(casts: readonly number[], nodes: readonly Node[]): readonly number[] {
    const after: number[] = [];
    for (let slot = 1; slot <= this.#scope.slots; slot += 1) {
      const inSlot = this.#castIn(casts, slot);
      const winner = inSlot.findIndex((cast) => this.#isQuorum(cast));
      const chosen = winner < 0 ? undefined : valueOf(inSlot[winner] ?? 0);
      inSlot.forEach((cast, index) => {
        const isSettled = cast === 0 || valueOf(cast) === chosen;
        if (index === winner) after.push(cast | EVERYONE);
        else after.push(!isSettled && this.#canBeChosen(cast, index + 1, nodes) ? cast : 0);
      });
    }
    return after;
  }

  #canBeChosen(cast: number, round: number, nodes: readonly Node[]): boolean {
    const able = nodes.filter(
      ({ promisedRound }, index) => ((cast >> index) & 1) === 1 || promisedRound <= round,
    );
    return able.length >= this.#quorum;
  }

  /** C3, C5: what the node holds for chosen was accepted by a quorum, with that value. The slot where it was not. */
  unfounded(id: number, { chosen: taken }: Node): number | undefined {
    const { chosen } = this.#votes.get(id);
    return taken.find(([slot, value]) => chosen[slot] !== value)?.[0];
  }

  /** What is chosen, in words. */
  chosenText(id: number): string {
    const words = this.#votes.get(id).chosen.flatMap((value, slot) => {
      if (value === undefined) return [];
      return [`${slot}: ${valueText(this.#values.get(value)) || "no-op"}`];
    });
    return words.join(", ");
  }
}
