/**
 * Explores every history of a small group, breadth first, over the production `step`: a violation comes with a shortest
 * schedule that leads to it. How one world leads to the next is in explorer/transitions.ts.
 */
import type { NodeId } from "../../shared/model/ids.ts";
import { packAction, unpackAction, type Action } from "./explorer/actions.ts";
import { CLIENT_ALONE } from "./explorer/client.ts";
import { actionLine } from "./explorer/schedule.ts";
import type { Application, Directive, Exploration, Scope, Violation } from "./explorer/scope.ts";
import { Transitions } from "./explorer/transitions.ts";
import { WorldTable } from "./explorer/world-table.ts";
import { World } from "./explorer/world.ts";

/** Enough for every scope in the suite; a scope that outgrows it says so. */
const DEFAULT_MAX_STATES = 3_000_000;
/** Deliveries after which a group that has not come to rest never will. */
const MAX_SETTLING_STEPS = 10_000;
/** A retry to each peer and the way there and back, for each slot. */
const ROUNDS_PER_NODE_AND_SLOT = 2;

export function explore(scope: Scope): Exploration {
  return new Explorer(scope).run();
}

class Explorer {
  readonly #scope: Scope;
  readonly #application: Application;
  readonly #transitions: Transitions;
  readonly #worlds = new WorldTable();
  readonly #prologue: string[] = [];
  readonly #world: World;
  #taken = 0;

  constructor(scope: Scope) {
    this.#scope = scope;
    this.#application = scope.application ?? CLIENT_ALONE;
    this.#transitions = new Transitions(scope);
    this.#world = new World(scope.nodes);
  }

  run(): Exploration {
    const startedAtMs = performance.now();
    this.#begin();
    const maxStates = this.#scope.maxStates ?? DEFAULT_MAX_STATES;
    let violation: Violation | undefined;
    let depth = 0;
    let levelEnd = this.#worlds.size;
    for (let index = 0; index < this.#worlds.size && violation === undefined; index += 1) {
      if (index === levelEnd) {
        depth += 1;
        levelEnd = this.#worlds.size;
      }
      if (this.#worlds.size > maxStates) break;
      violation = this.#expand(index) ?? this.#stuck(index);
    }
    const { local } = this.#transitions;
    return {
      complete: violation === undefined && this.#worlds.size <= maxStates,
      states: this.#worlds.size,
      transitions: this.#taken,
      localSteps: local.calls,
      depth,
      milliseconds: Math.round(performance.now() - startedAtMs),
      sights: new Set<string>([...local.sights, ...this.#application.sights]),
      chosen: this.#transitions.chosen(),
      violation,
    };
  }

  /** The first world, after the prologue; a prologue breaks nothing. */
  #begin(): void {
    const world = this.#transitions.first();
    for (const directive of this.#scope.prologue ?? []) this.#direct(world, directive);
    this.#worlds.add(world.words, world.length, -1, 0);
  }

  #direct(world: World, directive: Directive): void {
    if (directive.kind === "settle") {
      this.#prologue.push(...this.#settle(world, directive.without));
      return;
    }
    const action = actionOf(directive);
    const line = this.#line(world, action);
    if (this.#transitions.take(world, action) !== "changed")
      throw new Error(`not possible: ${line}`);
    world.copy(this.#transitions.next);
    this.#prologue.push(line);
  }

  /** Delivers, to and from all but one, whatever still changes something. What it did, in words. */
  #settle(world: World, without?: number): readonly string[] {
    const lines: string[] = [];
    for (let left = MAX_SETTLING_STEPS; left > 0; left -= 1) {
      const message = world.messages().find((id) => {
        const { from, to } = this.#transitions.local.messages.get(id);
        if (Number(from) === without || Number(to) === without) return false;
        const isTaken = this.#transitions.deliver(world, id) === "changed";
        return isTaken && !this.#transitions.next.equals(world);
      });
      if (message === undefined) return lines;
      lines.push(this.#line(world, { kind: "deliver", message }));
      this.#transitions.deliver(world, message);
      world.copy(this.#transitions.next);
    }
    throw new Error("messages go round for ever");
  }

  #load(index: number, into: World): World {
    into.length = this.#worlds.load(index, into.words);
    return into;
  }

  #expand(index: number): Violation | undefined {
    const world = this.#load(index, this.#world);
    for (let at = world.firstMessage; at < world.length; at += 1) {
      const message = world.words[at] ?? 0;
      const taken = this.#transitions.deliver(world, message);
      if (taken === "same") continue;
      const action = { kind: "deliver", message } as const;
      if (taken !== "changed") return this.#violation(taken.broken, index, action);
      this.#add(index, packAction(action));
    }
    for (let node = 0; node < world.nodes; node += 1) {
      for (const action of this.#transitions.node(world, node).actions) {
        const taken = this.#transitions.act(world, action);
        if (taken === "same") continue;
        if (taken !== "changed") return this.#violation(taken.broken, index, action);
        this.#add(index, packAction(action));
      }
    }
    for (const move of this.#transitions.moves(world)) {
      const action = { kind: "outside", move } as const;
      const taken = this.#transitions.take(world, action);
      if (taken === "same") continue;
      if (taken !== "changed") return this.#violation(taken.broken, index, action);
      this.#add(index, packAction(action));
    }
    return undefined;
  }

  #add(parent: number, action: number): void {
    this.#taken += 1;
    const { words, length } = this.#transitions.next;
    this.#worlds.add(words, length, parent, action);
  }

  /** With everything delivered and everybody asking on, all that is known to be missing arrives. */
  #stuck(index: number): Violation | undefined {
    const every = this.#scope.convergesFromEvery;
    if (every === undefined || index % every !== 0) return undefined;
    const world = this.#load(index, new World(this.#scope.nodes));
    const lines: string[] = [];
    for (let round = 0; ; round += 1) {
      const lacking = this.#transitions
        .states(world)
        .findIndex(({ catchUp, chosenUpTo }) => chosenUpTo < (catchUp?.upTo ?? 0));
      if (lacking < 0) return undefined;
      if (round === ROUNDS_PER_NODE_AND_SLOT * this.#scope.nodes * this.#scope.slots) {
        const what = `node ${lacking + 1} never gets what it knows to be chosen`;
        return this.#violationAfter(what, index, lines);
      }
      lines.push(...this.#retryAll(world), ...this.#deliverAll(world));
    }
  }

  /** Each message that is there now, once. */
  #deliverAll(world: World): readonly string[] {
    const lines: string[] = [];
    for (const message of world.messages()) {
      if (this.#transitions.deliver(world, message) !== "changed") continue;
      lines.push(this.#line(world, { kind: "deliver", message }));
      world.copy(this.#transitions.next);
    }
    return lines;
  }

  #retryAll(world: World): readonly string[] {
    const lines: string[] = [];
    for (let node = 0; node < world.nodes; node += 1) {
      const action = { kind: "retry", node, detail: 0 } as const;
      if (!this.#transitions.node(world, node).actions.some(({ kind }) => kind === "retry"))
        continue;
      if (this.#transitions.act(world, action) !== "changed") continue;
      lines.push(this.#line(world, action));
      world.copy(this.#transitions.next);
    }
    return lines;
  }

  #violation(what: string, index: number, last: Action): Violation {
    const before = this.#load(index, this.#world);
    return this.#violationAfter(what, index, this.#linesOf(before, this.#transitions.next, last));
  }

  #violationAfter(what: string, index: number, last: readonly string[]): Violation {
    const lines = [...last];
    const [before, after] = [new World(this.#scope.nodes), new World(this.#scope.nodes)];
    for (let at = index; this.#worlds.parentOf(at) >= 0; at = this.#worlds.parentOf(at)) {
      this.#load(this.#worlds.parentOf(at), before);
      this.#load(at, after);
      lines.unshift(...this.#linesOf(before, after, unpackAction(this.#worlds.actionOf(at))));
    }
    const schedule = [...this.#prologue, ...lines, what];
    return { what, schedule: schedule.map((line, at) => `${at + 1}. ${line}`) };
  }

  #linesOf(before: World, after: World, action: Action): readonly string[] {
    const line = this.#line(before, action);
    if (before.application === after.application) return [line];
    const index = action.kind === "outside" ? -1 : this.#changed(before, after);
    const node = (index + 1) as NodeId;
    const more = this.#application.describeChange(before.application, after.application, node);
    return [line, ...more];
  }

  #changed(before: World, after: World): number {
    for (let node = 0; node < before.nodes; node += 1) {
      if (before.node(node) !== after.node(node)) return node;
    }
    return -1;
  }

  #line(world: World, action: Action): string {
    const { local } = this.#transitions;
    const node = "node" in action ? this.#transitions.node(world, action.node).state : undefined;
    const sent = action.kind === "deliver" ? local.messages.get(action.message) : undefined;
    return actionLine(action, { node, sent, application: this.#application });
  }
}

function actionOf(directive: Exclude<Directive, { kind: "settle" }>): Action {
  if (directive.kind === "outside") return directive;
  const detail = directive.kind === "campaign" ? directive.round : 0;
  return { kind: directive.kind, node: directive.node - 1, detail };
}
