/**
 * Steps of single nodes, each computed once by the production `step` and then remembered: the cost of an exploration is
 * the number of distinct (state, input) pairs, not of global states.
 *
 * What an exploration lets happen to a node, and why nothing is missed:
 * - A ballot is numbered by the exploration: the round is given, the owner is the node. Production takes the round after
 *   the highest it saw; since only the order of ballots matters, any history there has its twin here.
 * - Its own phase1a and phase2b come to a node at once. The report of its own log could later differ only by slots marked
 *   chosen, which it would skip anyway; and a vote counted early is like another's vote delivered late. Its own phase1b
 *   stays in the message set: a quorum of others may come first.
 * - After each step a leader gets a tick at time 0, with intervals of 0: it says now what it could ever say about what is
 *   chosen, and the message set keeps it for as late as one likes.
 * - Any node learns the next slot from any other that knows it, at any time, by the production request and reply: every
 *   catch-up, whoever asked when and however pages were cut, is a sequence of these.
 * - Nobody has heard a leader of late, and a leader that is asked for a promise has heard nobody: staying with it would only
 *   be as if the question were lost.
 * - Persisting is atomic with the step. A crash keeps exactly what was persisted; what was to be released may be lost,
 *   like any message.
 */
import { InvariantViolation } from "../../../shared/model/assert.ts";
import type { Slot } from "../../../shared/model/ids.ts";
import {
  ballot,
  nextSlot,
  nodeId,
  roundOf,
  ZERO_BALLOT,
  ZERO_SLOT,
} from "../../../shared/model/ids.ts";
import { canPropose } from "../../../coordinator/paxos/leader.ts";
import type { Value } from "../../../coordinator/paxos/message.ts";
import type { DurableRecord } from "../../../coordinator/paxos/record.ts";
import { majority, recover } from "../../../coordinator/paxos/recover.ts";
import type {
  Entry,
  PaxosConfig,
  PaxosInput,
  PaxosState,
} from "../../../coordinator/paxos/state.ts";
import { step as productionStep } from "../../../coordinator/paxos/step.ts";
import { ACTION_KINDS, type Action } from "./actions.ts";
import { messageText, stateText, valueText } from "./canonical.ts";
import { Interner } from "./interner.ts";
import { explored, type Sent } from "./messages.ts";
import type { Scope, Sight, StepFunction } from "./scope.ts";
import { sightsOf } from "./sights.ts";

export interface Node {
  readonly id: number;
  readonly state: PaxosState;
  /** Undefined where no crash can follow. */
  readonly durable: readonly DurableRecord[] | undefined;
  /** What a crash would leave. */
  readonly remembered: PaxosState;
  /** The remembered log as an array, by slot. */
  readonly rememberedLog: readonly (Entry | undefined)[];
  /** The round of the remembered promise. */
  readonly promisedRound: number;
  /** Slots that it knows to be chosen, with the id of the value. */
  readonly chosen: readonly (readonly [number, number])[];
}

export interface Vote {
  readonly slot: number;
  readonly round: number;
  readonly value: number;
}

export type Local =
  | { readonly kind: "halted"; readonly why: string }
  | {
      readonly kind: "stepped";
      readonly node: Node;
      readonly sent: readonly number[];
      readonly votes: readonly Vote[];
    };

const TIMELESS_TICK: PaxosInput = { kind: "tick", nowMs: 0, jitter: 0, logStalledMs: 0 };
const HIGHEST_NODE = nodeId(1023);

function afterSilence(state: PaxosState): PaxosState {
  const { role, config } = state;
  if (role.kind !== "leader") return state;
  const heardAtMs = new Map(config.members.map((node) => [node, -config.electionTimeoutMs]));
  return { ...state, role: { ...role, heardAtMs } };
}

export class LocalSteps {
  readonly nodes = new Interner<Node>();
  readonly messages = new Interner<Sent>();
  readonly values = new Interner<Value>();
  readonly sights = new Set<Sight>();
  readonly #scope: Scope;
  readonly #step: StepFunction;
  readonly #known = new Map<number, Local>();
  calls = 0;

  constructor(scope: Scope) {
    this.#scope = scope;
    this.#step = scope.step ?? productionStep;
  }

  fresh(index: number): Node {
    return this.#intern(recover(this.#config(index), []).state, this.#isMortal() ? [] : undefined);
  }

  #isMortal(): boolean {
    return (this.#scope.crashes ?? 0) > 0;
  }

  #config(index: number): PaxosConfig {
    const { nodes, slots, windowSlots, pageSlots } = this.#scope;
    return {
      self: nodeId(index + 1),
      members: Array.from({ length: nodes }, (_, member) => nodeId(member + 1)),
      phase1Quorum: majority(nodes),
      phase2Quorum: majority(nodes),
      heartbeatIntervalMs: 0,
      electionTimeoutMs: 1,
      windowSlots: windowSlots ?? slots,
      pageSlots: pageSlots ?? 1000,
      pageBytes: 1_000_000,
    };
  }

  #intern(reached: PaxosState, durable: readonly DurableRecord[] | undefined): Node {
    const state = { ...reached, catchUp: undefined, heardLeader: undefined };
    const remembered = durable === undefined ? state : this.#recovered(state.config, durable);
    const key = durable === undefined ? "" : ` ${stateText(remembered)} ${remembered.promised}`;
    const id = this.nodes.idOf(stateText(state) + key, () => {
      const entries = new Map(remembered.log.from(nextSlot(ZERO_SLOT)));
      return {
        id: this.nodes.size,
        state,
        durable,
        remembered,
        rememberedLog: Array.from({ length: this.#scope.slots + 1 }, (_, at) =>
          entries.get(at as Slot),
        ),
        promisedRound: roundOf(remembered.promised),
        chosen: this.#chosenIn(state),
      };
    });
    return this.nodes.get(id);
  }

  #chosenIn({ log }: PaxosState): readonly (readonly [number, number])[] {
    return [...log.from(nextSlot(ZERO_SLOT))].flatMap(([slot, { kind, value }]) =>
      kind === "chosen" ? [[slot, this.#valueId(value)] as const] : [],
    );
  }

  #valueId(value: Value): number {
    return this.values.idOf(valueText(value), () => value);
  }

  #recovered(config: PaxosConfig, durable: readonly DurableRecord[]): PaxosState {
    return recover(config, this.#scope.onRestart?.(durable) ?? durable).state;
  }

  /** The same node where no crash can follow: its records no longer tell it from others. */
  immortal(node: Node): Node {
    return node.durable === undefined ? node : this.#intern(node.state, undefined);
  }

  deliver(node: Node, message: number): Local {
    return this.#once("deliver", node, message, () => {
      const { from, message: content } = this.messages.get(message);
      const isCampaign = content.kind === "phase1a" && content.ballot > node.state.promised;
      const state = isCampaign ? afterSilence(node.state) : node.state;
      return this.#run(node, state, { kind: "message", from, message: content });
    });
  }

  campaign(node: Node, round: number): Local {
    return this.#once("campaign", node, round, () => {
      const highestSeen = round === 1 ? ZERO_BALLOT : ballot(round - 1, HIGHEST_NODE);
      return this.#run(node, { ...node.state, highestSeen }, { kind: "campaign" });
    });
  }

  /** Undefined when the client has nothing to propose here. */
  propose(node: Node): Local | undefined {
    const { role } = node.state;
    if (role.kind !== "leader" || role.nextSlot > this.#scope.slots) return undefined;
    if (!canPropose(node.state)) return undefined;
    const value = (this.#scope.client ?? distinctValue)(node.state);
    if (value === undefined) return undefined;
    return this.#once("propose", node, 0, () =>
      this.#run(node, node.state, { kind: "propose", value }),
    );
  }

  /** Undefined when `peer` knows nothing new for `node`. */
  learn(node: Node, peer: Node): Local | undefined {
    if (peer.state.chosenUpTo <= node.state.chosenUpTo) return undefined;
    return this.#once("learn", node, peer.id, () => {
      const onePage = { ...peer.state, config: { ...peer.state.config, pageSlots: 1 } };
      const fromSlot = nextSlot(node.state.chosenUpTo);
      const from = node.state.config.self;
      const request = { kind: "learnRequest", fromSlot } as const;
      const { output } = this.#step(onePage, { kind: "message", from, message: request });
      const [reply] = output.send;
      if (reply === undefined) return { kind: "halted", why: "a node that knows does not tell" };
      const sender = peer.state.config.self;
      return this.#run(node, node.state, { kind: "message", from: sender, message: reply.message });
    });
  }

  restart(node: Node): Local {
    return this.#once("restart", node, 0, () => {
      this.sights.add("a node restarts");
      const restarted = this.#intern(node.remembered, node.durable);
      return { kind: "stepped", node: restarted, sent: [], votes: [] };
    });
  }

  /** One number names the step: 2^24 messages or nodes, and five kinds. */
  #once(kind: Action["kind"], node: Node, other: number, compute: () => Local): Local {
    const key = (node.id * 2 ** 24 + other) * 8 + ACTION_KINDS.indexOf(kind);
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const local = compute();
    this.#known.set(key, local);
    return local;
  }

  #run(node: Node, from: PaxosState, input: PaxosInput): Local {
    try {
      return this.#settled(node, from, input);
    } catch (error) {
      if (error instanceof InvariantViolation) return { kind: "halted", why: error.message };
      throw error;
    }
  }

  /** One input and whatever the node then says to itself. */
  #settled(node: Node, from: PaxosState, first: PaxosInput): Local {
    const records: DurableRecord[] = [];
    const sent = new Set<number>();
    const inputs = [first];
    const { self } = from.config;
    let state = from;
    for (let input = inputs.shift(); input !== undefined; input = inputs.shift()) {
      const { state: after, output } = this.#step(state, input);
      this.calls += 1;
      output.apply.forEach(({ slot }, index) => {
        if (slot !== state.chosenUpTo + 1 + index) throw new Error("S1: applied in slot order");
      });
      state = after;
      records.push(...output.records);
      for (const { to, message } of [...output.release, ...output.send]) {
        const isOwn = to === self && message.kind !== "phase1b";
        if (isOwn) inputs.push({ kind: "message", from: to, message });
        else
          for (const kept of explored(message))
            sent.add(this.#idOf({ from: self, to, message: kept }));
      }
      const isQuiet = inputs.length === 0 && input.kind !== "tick";
      if (isQuiet && state.role.kind === "leader") inputs.push(TIMELESS_TICK);
    }
    for (const sight of sightsOf(from, state, first, records)) this.sights.add(sight);
    const durable = node.durable === undefined ? undefined : [...node.durable, ...records];
    return {
      kind: "stepped",
      node: this.#intern(state, durable),
      sent: [...sent],
      votes: records.flatMap((record) => this.#votes(record)),
    };
  }

  #votes(record: DurableRecord): readonly Vote[] {
    if (record.kind !== "accepted") return [];
    const { slot, ballot: under, value } = record;
    return [{ slot, round: roundOf(under), value: this.#valueId(value) }];
  }

  #idOf(sent: Sent): number {
    return this.messages.idOf(`${sent.from}>${sent.to} ${messageText(sent.message)}`, () => sent);
  }
}

/** Round and slot make it unlike any other. */
function distinctValue({ role }: PaxosState): Value | undefined {
  if (role.kind !== "leader") return undefined;
  return new TextEncoder().encode(`value ${roundOf(role.ballot)}.${role.nextSlot}`);
}
