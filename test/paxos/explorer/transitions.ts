/**
 * From one world to the next. What may happen to a node is in local-steps.ts, when a message is dead in messages.ts, what must
 * hold in ghost.ts, local-rules.ts and here.
 */
import { roundOf } from "../../../shared/model/ids.ts";
import type { PaxosState } from "../../../coordinator/paxos/state.ts";
import { fitsPattern, ownerPatterns, type Action, type NodeAction } from "./actions.ts";
import { CLIENT_ALONE } from "./client.ts";
import { Ghost } from "./ghost.ts";
import { LocalSteps } from "./local-steps.ts";
import type { Local } from "./local.ts";
import { deadFrom, senderNeed } from "./messages.ts";
import type { Node } from "./node.ts";
import { PairTable } from "./pair-table.ts";
import type { Application, Scope } from "./scope.ts";
import { BUDGETS, World, type Budget } from "./world.ts";

/** `same`: it cannot happen, or changes nothing. */
export type Taken = "same" | "changed" | { readonly broken: string };

const BUDGET_OF: Partial<Record<NodeAction["kind"], Budget>> = {
  restart: "crashes",
  timeout: "timeouts",
  save: "snapshots",
};

export class Transitions {
  readonly local: LocalSteps;
  /** Where `take` leaves the world that it leads to. */
  readonly next: World;
  readonly #scope: Scope;
  readonly #application: Application;
  readonly #ghost: Ghost;
  readonly #patterns: readonly (readonly number[])[];
  /** Whether the nodes differ in nothing but the ballots that they own. */
  readonly #areAlike: boolean;
  readonly #chosen = new Set<number>();
  readonly #cast = new PairTable();
  readonly #needs = new PairTable();
  readonly #deadFrom = new PairTable();

  constructor(scope: Scope) {
    this.#scope = scope;
    this.#application = scope.application ?? CLIENT_ALONE;
    this.local = new LocalSteps(scope);
    this.#ghost = new Ghost(scope, this.local.nodes);
    this.#patterns = ownerPatterns(scope.nodes, scope.ballots);
    const prologue = scope.prologue ?? [];
    this.#areAlike = !prologue.some((it) => it.kind === "settle" && it.without !== undefined);
    this.next = new World(scope.nodes);
  }

  first(): World {
    const world = new World(this.#scope.nodes);
    for (let index = 0; index < this.#scope.nodes; index += 1) {
      world.setNode(index, this.local.nodes.fresh(index).id);
    }
    for (const budget of BUDGETS) world.grant(budget, this.#scope[budget] ?? 0);
    world.votes = this.#ghost.none();
    world.application = this.#application.start;
    return world;
  }

  node(world: World, index: number): Node {
    return this.local.nodes.get(world.node(index));
  }

  states(world: World): readonly PaxosState[] {
    return Array.from({ length: world.nodes }, (_, index) => this.node(world, index).state);
  }

  moves(world: World): readonly number[] {
    if (this.#scope.application === undefined) return [];
    return this.#application.moves(world.application, this.states(world));
  }

  /** Every combination of chosen values that was reached, in words. */
  chosen(): ReadonlySet<string> {
    return new Set([...this.#chosen].map((votes) => this.#ghost.chosenText(votes)));
  }

  take(world: World, action: Action): Taken {
    if (action.kind === "deliver") return this.deliver(world, action.message);
    return action.kind === "outside" ? this.#move(world, action.move) : this.act(world, action);
  }

  deliver(world: World, message: number): Taken {
    const target = this.local.messages.get(message).to - 1;
    return this.#step(world, target, this.local.deliver(this.node(world, target), message));
  }

  act(world: World, action: NodeAction): Taken {
    const node = this.node(world, action.node);
    if (action.kind === "propose") {
      const value = this.#application.client(world.application, node.state);
      if (value === undefined) return "same";
      return this.#step(world, action.node, this.local.propose(node, value));
    }
    if (action.kind === "learn") {
      const peer = this.node(world, action.detail);
      return this.#step(world, action.node, this.local.learn(node, peer));
    }
    if (!this.#isAffordable(world, action)) return "same";
    return this.#step(world, action.node, this.local.act(node, action), action);
  }

  #isAffordable(world: World, action: NodeAction): boolean {
    if (action.kind === "campaign") return this.#mayCampaign(world, action);
    const budget = BUDGET_OF[action.kind];
    return budget === undefined || world.left(budget) > 0;
  }

  #pay(action: NodeAction): void {
    if (action.kind === "campaign") this.next.own(action.detail, action.node);
    const budget = BUDGET_OF[action.kind];
    if (budget !== undefined) this.next.spend(budget);
  }

  #mayCampaign(world: World, { node, detail: round }: NodeAction): boolean {
    const owners = world.ownersByRound(this.#scope.ballots);
    if (owners[round - 1] !== 0 || round <= roundOf(this.node(world, node).state.promised)) {
      return false;
    }
    return !this.#areAlike || fitsPattern(owners.with(round - 1, node + 1), this.#patterns);
  }

  #move(world: World, move: number): Taken {
    this.next.copy(world);
    const state = this.#application.move(world.application, move, this.states(world));
    if (state === world.application) return "same";
    return this.#noteApplication(state) ?? "changed";
  }

  #noteApplication(state: number): Taken | undefined {
    this.next.application = state;
    const broken = this.#application.conflict(state);
    return broken === undefined ? undefined : { broken };
  }

  /** The node `index` of `world` takes this step, which costs what `action` costs. */
  #step(world: World, index: number, local: Local, action?: NodeAction): Taken {
    if (local.kind === "beyond") return "same";
    if (local.kind === "broken") return this.#brokenBefore(world, index, local.what);
    if (local.kind === "halted") {
      if (this.#scope.ignoreHalts === true) return "same";
      return this.#brokenBefore(world, index, `halts: ${local.why}`);
    }
    if (local.node.id === world.node(index) && isKnown(world, local.sent)) return "same";
    const { next } = this;
    next.copy(world);
    if (action !== undefined) this.#pay(action);
    const broken = this.#noteCampaign(local.campaigned) ?? this.#vote(index, local.votes);
    if (broken !== undefined) return { broken };
    const before = this.node(world, index);
    next.setNode(index, local.node.id);
    const isLastCrash = before.durable !== undefined && next.left("crashes") === 0;
    if (isLastCrash) this.#forgetRecords();
    const nodes = this.#nodesOfNext();
    next.votes = this.#ghost.relevant(next.votes, nodes);
    const unfounded = this.#unfounded(index, nodes);
    if (unfounded !== undefined) return { broken: unfounded };
    this.#keepLiving(world, local.sent, isLastCrash ? undefined : index);
    if (this.#scope.application === undefined) return "changed";
    const state = this.#application.stepped(world.application, before.state, local.node.state);
    return this.#noteApplication(state) ?? "changed";
  }

  #brokenBefore(world: World, index: number, what: string): Taken {
    this.next.copy(world);
    return { broken: `node ${index + 1} ${what}` };
  }

  /** E1. Where the exploration numbers the ballots, it hands each out once. */
  #noteCampaign(rank: number): string | undefined {
    if (this.#scope.timeouts === undefined || rank === 0) return undefined;
    const bit = 1 << (rank - 1);
    if ((this.next.owners & bit) !== 0) return "E1: a ballot is campaigned for twice";
    this.next.owners |= bit;
    return undefined;
  }

  #vote(index: number, votes: number): string | undefined {
    if (votes === 0) return undefined;
    const key = votes * this.#scope.nodes + index;
    const known = this.#cast.get(this.next.votes, key);
    if (known >= 0) {
      this.next.votes = known;
      return undefined;
    }
    const cast = this.#ghost.add(this.next.votes, index, this.local.votesOf(votes));
    if (typeof cast === "string") return cast;
    this.#cast.set(this.next.votes, key, cast);
    this.#chosen.add(cast);
    this.next.votes = cast;
    return undefined;
  }

  #forgetRecords(): void {
    const { nodes } = this.local;
    for (let index = 0; index < this.next.nodes; index += 1) {
      this.next.setNode(index, nodes.immortal(this.node(this.next, index)).id);
    }
  }

  readonly #scratch: Node[] = [];

  #nodesOfNext(): readonly Node[] {
    for (let index = 0; index < this.next.nodes; index += 1) {
      this.#scratch[index] = this.node(this.next, index);
    }
    return this.#scratch;
  }

  #unfounded(index: number, nodes: readonly Node[]): string | undefined {
    const node = nodes[index];
    if (this.#scope.onlyAgreement === true || node === undefined) return undefined;
    const slot = this.#ghost.unfounded(this.next.votes, node);
    if (slot === 0) return undefined;
    return `C3: node ${index + 1} takes for chosen in slot ${slot} what no quorum accepted`;
  }

  /** Of the messages of before and the new ones, those that live: only those of the node `changed` can have died. */
  #keepLiving(world: World, sent: readonly number[], changed: number | undefined): void {
    const { next } = this;
    next.clearMessages();
    let at = world.firstMessage;
    for (const id of sent) {
      for (; at < world.length && (world.words[at] ?? 0) < id; at += 1) {
        this.#keepIfLiving(world.words[at] ?? 0, changed);
      }
      if (at < world.length && world.words[at] === id) at += 1;
      this.#keepIfLiving(id, undefined);
    }
    for (; at < world.length; at += 1) this.#keepIfLiving(world.words[at] ?? 0, changed);
  }

  #keepIfLiving(id: number, changed: number | undefined): void {
    if (this.#scope.keepsDead === true) {
      this.next.push(id);
      return;
    }
    const { from, to } = this.local.messages.get(id);
    const isUntouched = changed !== undefined && from - 1 !== changed && to - 1 !== changed;
    if (isUntouched || this.#needOf(id, from - 1) < this.#deadFromIn(id, to - 1))
      this.next.push(id);
  }

  #needOf(id: number, sender: number): number {
    const node = this.next.node(sender);
    const known = this.#needs.get(id, node);
    if (known >= 0) return known;
    const need = senderNeed(this.local.messages.get(id), this.local.nodes.get(node));
    this.#needs.set(id, node, need);
    return need;
  }

  #deadFromIn(id: number, target: number): number {
    const node = this.next.node(target);
    const known = this.#deadFrom.get(id, node);
    if (known >= 0) return known;
    const dead = deadFrom(this.local.messages.get(id), this.local.nodes.get(node), this.#scope);
    this.#deadFrom.set(id, node, dead);
    return dead;
  }
}

function isKnown(world: World, sent: readonly number[]): boolean {
  for (const id of sent) {
    let at = world.firstMessage;
    while (at < world.length && world.words[at] !== id) at += 1;
    if (at === world.length) return false;
  }
  return true;
}
