/**
 * One global state as a row of small numbers:
 *
 *   node ids … · owners · budgets · votes · application · message ids …, ascending
 *
 * Owners: who campaigned, by round; or, where the core numbers ballots, a bit by the rank of each ballot that was campaigned for.
 */
/** No world in any scope has come near; a longer one fails loudly. */
const MAX_WORDS = 512;
const OWNER_BITS = 3;
const OWNER_MASK = (1 << OWNER_BITS) - 1;

export const BUDGETS = ["crashes", "timeouts", "snapshots"] as const;
export type Budget = (typeof BUDGETS)[number];
const BUDGET_BITS = 8;
const BUDGET_MASK = (1 << BUDGET_BITS) - 1;
const shiftOf = (budget: Budget): number => BUDGETS.indexOf(budget) * BUDGET_BITS;

export class World {
  readonly words = new Uint32Array(MAX_WORDS);
  length = 0;
  readonly nodes: number;
  readonly firstMessage: number;

  constructor(nodes: number) {
    this.nodes = nodes;
    this.firstMessage = nodes + 4;
    this.length = this.firstMessage;
  }

  copy(from: World): void {
    for (let at = 0; at < from.length; at += 1) this.words[at] = from.words[at] ?? 0;
    this.length = from.length;
  }

  node(index: number): number {
    return this.words[index] ?? 0;
  }

  setNode(index: number, id: number): void {
    this.words[index] = id;
  }

  get owners(): number {
    return this.words[this.nodes] ?? 0;
  }

  set owners(owners: number) {
    this.words[this.nodes] = owners;
  }

  /** By round, from the first; 0 where nobody has campaigned. */
  ownersByRound(rounds: number): readonly number[] {
    const { owners } = this;
    const byRound: number[] = [];
    for (let index = 0; index < rounds; index += 1) {
      byRound.push((owners >> (index * OWNER_BITS)) & OWNER_MASK);
    }
    return byRound;
  }

  own(round: number, node: number): void {
    this.owners |= (node + 1) << ((round - 1) * OWNER_BITS);
  }

  left(budget: Budget): number {
    return ((this.words[this.nodes + 1] ?? 0) >> shiftOf(budget)) & BUDGET_MASK;
  }

  grant(budget: Budget, count: number): void {
    this.words[this.nodes + 1] = (this.words[this.nodes + 1] ?? 0) + (count << shiftOf(budget));
  }

  spend(budget: Budget): void {
    this.words[this.nodes + 1] = (this.words[this.nodes + 1] ?? 0) - (1 << shiftOf(budget));
  }

  get votes(): number {
    return this.words[this.nodes + 2] ?? 0;
  }

  set votes(votes: number) {
    this.words[this.nodes + 2] = votes;
  }

  get application(): number {
    return this.words[this.nodes + 3] ?? 0;
  }

  set application(state: number) {
    this.words[this.nodes + 3] = state;
  }

  push(message: number): void {
    if (this.length === MAX_WORDS) throw new Error("more messages live than a world holds");
    this.words[this.length] = message;
    this.length += 1;
  }

  clearMessages(): void {
    this.length = this.firstMessage;
  }

  messages(): readonly number[] {
    return [...this.words.subarray(this.firstMessage, this.length)];
  }

  equals(other: World): boolean {
    if (other.length !== this.length) return false;
    for (let at = 0; at < this.length; at += 1) {
      if (this.words[at] !== other.words[at]) return false;
    }
    return true;
  }
}
