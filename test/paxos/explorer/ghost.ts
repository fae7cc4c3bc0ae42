/**
 * What no node sees: every vote that matters, and so what is chosen. For each (slot, ballot) one number: the value, and a
 * bit for each node that accepted it. Such a table of votes is interned, so that each question is worked out once.
 *
 * A vote matters while its ballot could still be chosen with a value that is not. Of what is chosen only the value and
 * the ballot are kept. Both make states equal that no check could ever tell apart.
 */
import { majority } from "../../../coordinator/paxos/recover.ts";
import { ballot, nodeId } from "../../../shared/model/ids.ts";
import { valueText } from "./canonical.ts";
import { Interner } from "./interner.ts";
import type { Vote } from "./local.ts";
import type { Node, Nodes } from "./node.ts";
import { PairTable } from "./pair-table.ts";
import type { Scope } from "./scope.ts";

interface Votes {
  /** By slot, then rank; 0 where there is none that matters. */
  readonly casts: readonly number[];
  /** By slot, from 1: the id of the chosen value, or undefined. */
  readonly chosen: readonly (number | undefined)[];
}

/** What client.ts submits. */
const CLIENT_VALUE = /^value of (\d+)\.(\d+) for slot (\d+)$/;
const NODE_BITS = 5;
const EVERYONE = (1 << NODE_BITS) - 1;
const valueOf = (cast: number): number => (cast >> NODE_BITS) - 1;

export class Ghost {
  readonly #scope: Scope;
  readonly #quorum: number;
  /** Ballots that can be: the rank of the highest. */
  readonly #ranks: number;
  readonly #nodes: Nodes;
  readonly #votes = new Interner<Votes>();
  readonly #relevant = new PairTable();
  readonly #unfounded = new PairTable();

  constructor(scope: Scope, nodes: Nodes) {
    this.#scope = scope;
    this.#quorum = majority(scope.nodes);
    this.#ranks = scope.timeouts === undefined ? scope.ballots : scope.ballots * scope.nodes;
    this.#nodes = nodes;
  }

  /** The id of the table without any vote. */
  none(): number {
    return this.#idOf(Array<number>(this.#scope.slots * this.#ranks).fill(0));
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
    return casts.slice((slot - 1) * this.#ranks, slot * this.#ranks);
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
    for (const { slot, rank, value } of added) {
      const index = (slot - 1) * this.#ranks + rank - 1;
      const cast = after[index] ?? 0;
      if (cast !== 0 && valueOf(cast) !== value) {
        return `P1: two values were accepted in slot ${slot} under the ballot of rank ${rank}`;
      }
      if (!this.#isValid(value, slot, rank)) return `C4: nobody submitted what slot ${slot} holds`;
      after[index] = ((value + 1) << NODE_BITS) | (cast & EVERYONE) | (1 << node);
    }
    return this.#broken(after) ?? this.#idOf(after);
  }

  /** C4. Values of other clients than the explorer's own are taken as they are. */
  #isValid(value: number, slot: number, rank: number): boolean {
    const match = CLIENT_VALUE.exec(valueText(this.#nodes.valueOf(value)));
    if (match === null) return true;
    const [round, owner, wanted] = match.slice(1).map(Number) as [number, number, number];
    return this.#nodes.rankOf(ballot(round, nodeId(owner))) <= rank && wanted === slot;
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
    let promises = 0;
    for (const { promisedRank } of nodes) promises = promises * (this.#ranks + 1) + promisedRank;
    const known = this.#relevant.get(id, promises);
    if (known >= 0) return known;
    const relevant = this.#idOf(this.#relevantCasts(this.#votes.get(id).casts, nodes));
    this.#relevant.set(id, promises, relevant);
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

  #canBeChosen(cast: number, rank: number, nodes: readonly Node[]): boolean {
    const able = nodes.filter(
      ({ promisedRank }, index) => ((cast >> index) & 1) === 1 || promisedRank <= rank,
    );
    return able.length >= this.#quorum;
  }

  /** C3, C5: what the node holds for chosen was accepted by a quorum, with that value. The slot where it was not, or 0. */
  unfounded(id: number, { chosen: taken, chosenId }: Node): number {
    const known = this.#unfounded.get(id, chosenId);
    if (known >= 0) return known;
    const { chosen } = this.#votes.get(id);
    const slot = taken.find(([at, value]) => chosen[at] !== value)?.[0] ?? 0;
    this.#unfounded.set(id, chosenId, slot);
    return slot;
  }

  /** What is chosen, in words. */
  chosenText(id: number): string {
    const words = this.#votes.get(id).chosen.flatMap((value, slot) => {
      if (value === undefined) return [];
      return [`${slot}: ${valueText(this.#nodes.valueOf(value)) || "no-op"}`];
    });
    return words.join(", ");
  }
}
