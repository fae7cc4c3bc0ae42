/**
 * Explores every history of a small group, breadth first, over the production `step`: a violation comes with a shortest
 * schedule that leads to it. What may happen is in explorer/local-steps.ts, when a message is dead in
 * explorer/messages.ts, what must hold in explorer/ghost.ts and in `#successor` here.
 *
 *   world = local state of each node · who campaigned · living messages · ghost votes
 */
import type { NodeId } from "../../shared/model/ids.ts";
import { roundOf } from "../../shared/model/ids.ts";
import { valueText } from "./explorer/canonical.ts";
import type { Action } from "./explorer/actions.ts";
import { fitsPattern, ownerPatterns, packAction, unpackAction } from "./explorer/actions.ts";
import { Ghost } from "./explorer/ghost.ts";
import { LocalSteps, type Local, type Node } from "./explorer/local-steps.ts";
import { isDead } from "./explorer/messages.ts";
import { actionLine } from "./explorer/schedule.ts";
import type { Exploration, Scope, Violation } from "./explorer/scope.ts";
import { worldFrom, worldText, type World } from "./explorer/world.ts";

/** Enough for every scope in the suite; a scope that outgrows it says so. */
const DEFAULT_MAX_STATES = 2_000_000;

export function explore(scope: Scope): Exploration {
  return new Explorer(scope).run();
}

type Successor = { readonly world: World } | { readonly broken: string } | undefined;

function isKnown(world: World, sent: readonly number[]): boolean {
  return sent.every((id) => world.messages.includes(id));
}

class Explorer {
  readonly #scope: Scope;
  readonly #local: LocalSteps;
  readonly #ghost: Ghost;
  readonly #patterns: readonly (readonly number[])[];
  readonly #known = new Set<string>();
  readonly #texts: string[] = [];
  readonly #parents: number[] = [];
  readonly #actions: number[] = [];
  readonly #chosen = new Set<number>();
  readonly #seenById = new Map<number, number>();
  readonly #prologue: string[] = [];
  #transitions = 0;

  constructor(scope: Scope) {
    this.#scope = scope;
    this.#local = new LocalSteps(scope);
    this.#ghost = new Ghost(scope, this.#local.values);
    this.#patterns = ownerPatterns(scope.nodes, scope.ballots);
  }

  run(): Exploration {
    const startedAtMs = performance.now();
    this.#begin();
    let violation: Violation | undefined;
    const maxStates = this.#scope.maxStates ?? DEFAULT_MAX_STATES;
    let depth = 0;
    let levelEnd = this.#texts.length;
    for (let index = 0; index < this.#texts.length && violation === undefined; index += 1) {
      if (index === levelEnd) {
        depth += 1;
        levelEnd = this.#texts.length;
      }
      if (this.#texts.length > maxStates) break;
      violation = this.#expand(index);
    }
    return {
      complete: violation === undefined && this.#texts.length <= maxStates,
      states: this.#texts.length,
      transitions: this.#transitions,
      localSteps: this.#local.calls,
      depth,
      milliseconds: Math.round(performance.now() - startedAtMs),
      sights: this.#local.sights,
      chosen: new Set([...this.#chosen].map((votes) => this.#ghost.chosenText(votes))),
      violation,
    };
  }

  #world(index: number): World {
    const { nodes, ballots } = this.#scope;
    return worldFrom(this.#texts[index] ?? "", { nodes, rounds: ballots });
  }

  #node(world: World, index: number): Node {
    return this.#local.nodes.get(world.nodes[index] ?? -1);
  }

  /** The first world, after the prologue; a prologue breaks nothing. */
  #begin(): void {
    const { nodes, ballots, crashes, prologue } = this.#scope;
    const fresh = Array.from({ length: nodes }, (_, index) => this.#local.fresh(index).id);
    let world: World = {
      nodes: fresh,
      owners: Array<number>(ballots).fill(0),
      crashesLeft: crashes ?? 0,
      seen: 0,
      votes: this.#ghost.none(),
      messages: [],
    };
    for (const directive of prologue ?? []) {
      if (directive.kind === "settle") {
        world = this.#settle(world);
      } else {
        const node = directive.node - 1;
        world = this.#must(world, { ...directive, node });
      }
    }
    this.#add(world, -1, 0);
  }

  #must(world: World, action: Action): World {
    const next = this.#apply(world, action);
    if (next === undefined || "broken" in next) throw new Error(`${action.kind} is not possible`);
    this.#prologue.push(this.#line(world, action));
    return next.world;
  }

  #settle(from: World): World {
    let world = from;
    for (;;) {
      const moved = world.messages
        .map((message) => ({ kind: "deliver", message }) as const)
        .find((action) => {
          const next = this.#apply(world, action);
          return (
            next !== undefined && "world" in next && worldText(next.world) !== worldText(world)
          );
        });
      if (moved === undefined) return world;
      world = this.#must(world, moved);
    }
  }

  #add(world: World, parent: number, action: number): void {
    const text = worldText(world);
    if (this.#known.has(text)) return;
    this.#known.add(text);
    this.#texts.push(text);
    this.#parents.push(parent);
    this.#actions.push(action);
  }

  #expand(index: number): Violation | undefined {
    const world = this.#world(index);
    for (const action of this.#possible(world)) {
      const next = this.#apply(world, action);
      if (next === undefined) continue;
      this.#transitions += 1;
      if ("broken" in next) return this.#violation(next.broken, index, action);
      this.#add(next.world, index, packAction(action));
    }
    return undefined;
  }

  #possible(world: World): readonly Action[] {
    const actions: Action[] = world.messages.map((message) => ({ kind: "deliver", message }));
    for (let node = 0; node < this.#scope.nodes; node += 1) {
      actions.push({ kind: "propose", node });
      for (let round = 1; round <= this.#scope.ballots; round += 1) {
        if (this.#mayCampaign(world, node, round)) actions.push({ kind: "campaign", node, round });
      }
      for (let peer = 0; peer < this.#scope.nodes; peer += 1) {
        actions.push({ kind: "learn", node, peer });
      }
      if (world.crashesLeft > 0) actions.push({ kind: "restart", node });
    }
    return actions;
  }

  /** A node that knows every slot in scope could only make others promise, which only forbids things. */
  #mayCampaign(world: World, node: number, round: number): boolean {
    const { promised, chosenUpTo } = this.#node(world, node).state;
    if (world.owners[round - 1] !== 0 || round <= roundOf(promised)) return false;
    if (chosenUpTo >= this.#scope.slots) return false;
    return fitsPattern(world.owners.with(round - 1, node + 1), this.#patterns);
  }

  /** Undefined where it cannot happen or changes nothing. */
  #apply(world: World, action: Action): Successor {
    switch (action.kind) {
      case "deliver": {
        const target = this.#local.messages.get(action.message).to - 1;
        const local = this.#local.deliver(this.#node(world, target), action.message);
        return this.#successor(world, target, local);
      }
      case "campaign": {
        const owners = world.owners.with(action.round - 1, action.node + 1);
        const local = this.#local.campaign(this.#node(world, action.node), action.round);
        return this.#successor({ ...world, owners }, action.node, local);
      }
      case "propose":
        return this.#successor(
          world,
          action.node,
          this.#local.propose(this.#node(world, action.node)),
        );
      case "learn": {
        const peer = this.#node(world, action.peer);
        const local = this.#local.learn(this.#node(world, action.node), peer);
        return this.#successor(world, action.node, local);
      }
      case "restart": {
        const crashesLeft = world.crashesLeft - 1;
        const local = this.#local.restart(this.#node(world, action.node));
        return this.#successor({ ...world, crashesLeft }, action.node, local);
      }
    }
  }

  #successor(world: World, index: number, local: Local | undefined): Successor {
    if (local === undefined) return undefined;
    if (local.kind === "halted") {
      if (this.#scope.ignoreHalts === true) return undefined;
      return { broken: `node ${index + 1} halts: ${local.why}` };
    }
    if (local.node.id === world.nodes[index] && isKnown(world, local.sent)) return undefined;
    const cast = this.#ghost.add(world.votes, index, local.votes);
    if (typeof cast === "string") return { broken: cast };
    if (local.votes.length > 0) this.#chosen.add(cast);
    const nodes = this.#nodesAfter(world, index, local.node);
    const votes = this.#ghost.relevant(cast, nodes);
    const seen = world.seen | this.#seenAt(local.node);
    const broken =
      this.#unfounded(votes, index, local.node) ?? this.#scope.observer?.conflict(seen);
    if (broken !== undefined) return { broken };
    const messages = this.#living(world.messages, local.sent, nodes);
    const { owners, crashesLeft } = world;
    const ids = nodes.map(({ id }) => id);
    return { world: { nodes: ids, owners, crashesLeft, seen, votes, messages } };
  }

  #nodesAfter(world: World, index: number, node: Node): readonly Node[] {
    const canCrash = world.crashesLeft > 0 || node.durable === undefined;
    return world.nodes.map((id, at) => {
      const after = at === index ? node : this.#local.nodes.get(id);
      return canCrash ? after : this.#local.immortal(after);
    });
  }

  #seenAt(node: Node): number {
    const { observer } = this.#scope;
    if (observer === undefined) return 0;
    const known = this.#seenById.get(node.id);
    const bits = known ?? observer.look(node.state);
    this.#seenById.set(node.id, bits);
    return bits;
  }

  #unfounded(votes: number, index: number, node: Node): string | undefined {
    if (this.#scope.onlyAgreement === true) return undefined;
    const slot = this.#ghost.unfounded(votes, node);
    if (slot === undefined) return undefined;
    return `C3: node ${index + 1} takes for chosen in slot ${slot} what no quorum accepted`;
  }

  #living(
    known: readonly number[],
    sent: readonly number[],
    nodes: readonly Node[],
  ): readonly number[] {
    const fresh = sent.filter((id) => !known.includes(id));
    const messages = fresh.length === 0 ? known : [...known, ...fresh];
    const living =
      this.#scope.keepsDead === true
        ? [...messages]
        : messages.filter((id) => !this.#isDead(id, nodes));
    return fresh.length === 0 ? living : living.sort((left, right) => left - right);
  }

  #isDead(id: number, nodes: readonly Node[]): boolean {
    const sent = this.#local.messages.get(id);
    const sender = nodes[sent.from - 1];
    const target = nodes[sent.to - 1];
    if (sender === undefined || target === undefined) throw new Error("messages go between nodes");
    return isDead(sent, sender.state, target, this.#scope.nacks ?? false);
  }

  #violation(what: string, index: number, last: Action): Violation {
    const lines = [this.#line(this.#world(index), last)];
    for (let at = index; (this.#parents[at] ?? -1) >= 0; at = this.#parents[at] ?? -1) {
      const parent = this.#world(this.#parents[at] ?? -1);
      const action = unpackAction(this.#actions[at] ?? 0);
      lines.unshift(...this.#linesOf(parent, this.#world(at), action));
    }
    const schedule = [...this.#prologue, ...lines, what];
    return { what, schedule: schedule.map((line, at) => `${at + 1}. ${line}`) };
  }

  #linesOf(before: World, after: World, action: Action): readonly string[] {
    const line = this.#line(before, action);
    const newBits = after.seen & ~before.seen;
    if (newBits === 0) return [line];
    const index = after.nodes.findIndex((id, at) => id !== before.nodes[at]);
    const node = this.#node(after, index);
    const look = this.#seenAt(node) & newBits;
    const seen = this.#scope.observer?.describe((index + 1) as NodeId, look) ?? [];
    return [line, ...seen];
  }

  #line(world: World, action: Action): string {
    const describe = this.#scope.describeValue ?? valueText;
    const node = "node" in action ? this.#node(world, action.node).state : undefined;
    const sent = action.kind === "deliver" ? this.#local.messages.get(action.message) : undefined;
    return actionLine(action, { node, sent, describe });
  }
}
