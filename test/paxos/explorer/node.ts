/**
 * A node's local states, each with a small number of its own, and what an exploration wants to know of them.
 *
 * `applied` is what its ledger was fed with, by slot from 1, and `saved` what its durable snapshot holds of that: no node looks
 * at them, they are there to be compared with what was chosen.
 */

import { nextSlot, nodeId, roundOf, ownerOf, ZERO_SLOT } from "../../../shared/model/ids.ts";
import type { Ballot } from "../../../shared/model/ids.ts";
import { canPropose } from "../../../coordinator/paxos/leader.ts";
import type { Value } from "../../../coordinator/paxos/message.ts";
import type { DurableRecord } from "../../../coordinator/paxos/record.ts";
import { majority, recover } from "../../../coordinator/paxos/recover.ts";
import type { PaxosConfig, PaxosState, Role } from "../../../coordinator/paxos/state.ts";
import type { NodeAction } from "./actions.ts";
import { stateText, valueText } from "./canonical.ts";
import { Interner } from "./interner.ts";
import type { Scope } from "./scope.ts";

export interface Node {
  readonly id: number;
  readonly state: PaxosState;
  /** Undefined where no crash can follow. */
  readonly durable: readonly DurableRecord[] | undefined;
  /** What a crash would leave. */
  readonly remembered: PaxosState;
  readonly applied: readonly number[];
  readonly saved: readonly number[];
  /** The rank of the remembered promise. */
  readonly promisedRank: number;
  /** Slots that it takes for chosen, with the id of the value; the list has a number of its own. */
  readonly chosen: readonly (readonly [number, number])[];
  readonly chosenId: number;
  /** What it may do next as far as it alone is concerned. */
  readonly actions: readonly NodeAction[];
}

export interface Reached {
  readonly state: PaxosState;
  readonly durable: readonly DurableRecord[] | undefined;
  readonly applied: readonly number[];
  readonly saved: readonly number[];
}

/** Every timed decision of the core takes one unit: nothing is due at time 0, and everything at time 1. */
const TIMEOUT_MS = 1;

export class Nodes {
  readonly #scope: Scope;
  readonly #nodes = new Interner<Node>();
  readonly #lists = new Interner<null>();
  readonly #values = new Interner<Value>();
  readonly #immortal: (Node | undefined)[] = [];

  constructor(scope: Scope) {
    this.#scope = scope;
  }

  get(id: number): Node {
    return this.#nodes.get(id);
  }

  valueId(value: Value): number {
    return this.#values.idOf(valueText(value), () => value);
  }

  valueOf(id: number): Value {
    return this.#values.get(id);
  }

  /** Ballots in their order, from 1; 0 for no ballot. */
  rankOf(ballot: Ballot): number {
    const round = roundOf(ballot);
    if (this.#scope.timeouts === undefined || round === 0) return round;
    return (round - 1) * this.#scope.nodes + (ownerOf(ballot) ?? 0);
  }

  fresh(index: number): Node {
    const durable = (this.#scope.crashes ?? 0) > 0 ? [] : undefined;
    const { state } = recover(this.#config(index), []);
    return this.intern({ state, durable, applied: [], saved: [] });
  }

  #config(index: number): PaxosConfig {
    const { nodes, slots, windowSlots, catchUp, trailingSlots } = this.#scope;
    const pageSlots = this.#scope.pageSlots ?? (catchUp === "messages" ? 1 : 1000);
    return {
      self: nodeId(index + 1),
      members: Array.from({ length: nodes }, (_, member) => nodeId(member + 1)),
      phase1Quorum: majority(nodes),
      phase2Quorum: majority(nodes),
      heartbeatIntervalMs: 0,
      electionTimeoutMs: TIMEOUT_MS,
      windowSlots: windowSlots ?? slots,
      acceptAheadSlots: windowSlots ?? slots,
      pageSlots,
      pageBytes: 1_000_000,
      trailingSlots: trailingSlots ?? 0,
      trailingBytes: 1_000_000,
    };
  }

  intern({ state: reached, durable, applied, saved }: Reached): Node {
    const state = this.#timeless(reached);
    const remembered = durable === undefined ? state : this.restarted(state.config, durable).state;
    const keys = [stateText(state, this.#scope)];
    if (durable !== undefined) {
      keys.push(stateText(remembered, this.#scope), String(remembered.promised));
    }
    if (state.snapshotSlot > 0) keys.push(applied.join(), saved.join());
    const id = this.#nodes.idOf(keys.join(" "), () => {
      const chosen = this.#chosenIn(state, applied);
      return {
        id: this.#nodes.size,
        state,
        durable,
        remembered,
        applied,
        saved,
        promisedRank: this.rankOf(remembered.promised),
        chosen,
        chosenId: this.#lists.idOf(chosen.join(" "), () => null),
        actions: this.#actionsOf(state, durable !== undefined),
      };
    });
    return this.get(id);
  }

  restarted(config: PaxosConfig, durable: readonly DurableRecord[]): ReturnType<typeof recover> {
    return recover(config, this.#scope.onRestart?.(durable) ?? durable);
  }

  /** Whatever waits, waits from now on. */
  #timeless(state: PaxosState): PaxosState {
    const { catchUp, timeouts } = this.#scope;
    const wanted = catchUp === "messages" ? state.catchUp : undefined;
    const normal = { ...state, catchUp: wanted && { ...wanted, askedAtMs: 0 } };
    if (timeouts === undefined) return { ...normal, heardLeader: undefined };
    const { heardLeader, nowMs } = state;
    const isHeard = heardLeader !== undefined && nowMs - heardLeader.atMs < TIMEOUT_MS;
    return {
      ...normal,
      nowMs: 0,
      patienceMs: TIMEOUT_MS,
      electionDeadlineMs: TIMEOUT_MS,
      heardLeader: isHeard ? { ...heardLeader, atMs: 0 } : undefined,
      role: timelessRole(state.role),
    };
  }

  /** From the log, and where that is truncated, from what was applied. */
  #chosenIn(
    { log }: PaxosState,
    applied: readonly number[],
  ): readonly (readonly [number, number])[] {
    const gone = applied.slice(0, log.truncatedUpTo).map((value, at) => [at + 1, value] as const);
    const present = [...log.from(nextSlot(ZERO_SLOT))].flatMap(([slot, { kind, value }]) =>
      kind === "chosen" ? [[slot, this.valueId(value)] as const] : [],
    );
    return [...gone, ...present];
  }

  #actionsOf(state: PaxosState, isMortal: boolean): readonly NodeAction[] {
    const { nodes, slots, ballots, timeouts, catchUp, snapshots } = this.#scope;
    const node = state.config.self - 1;
    const actions: NodeAction[] = [];
    const may = (kind: NodeAction["kind"], detail = 0): void => {
      actions.push({ kind, node, detail });
    };
    const hasSlot = state.role.kind === "leader" && state.role.nextSlot <= slots;
    if (hasSlot && canPropose(state)) may("propose");
    if (timeouts !== undefined) {
      may("timeout");
      if (state.heardLeader !== undefined) may("silence");
    } else if (state.chosenUpTo < slots) {
      // A node that knows every slot in scope could only make others promise, which only forbids things.
      for (let round = roundOf(state.promised) + 1; round <= ballots; round += 1) {
        may("campaign", round);
      }
    }
    for (let peer = 0; peer < nodes; peer += 1) {
      if ((catchUp ?? "atOnce") === "atOnce" && peer !== node) may("learn", peer);
    }
    if (state.catchUp !== undefined && state.role.kind !== "leader") may("retry");
    const upTo = snapshots === undefined ? ZERO_SLOT : state.chosenUpTo;
    for (let slot: number = state.snapshotSlot + 1; slot <= upTo; slot += 1) may("save", slot);
    if (isMortal) may("restart");
    return actions;
  }

  /** The same node where no crash can follow: its records no longer tell it from others. */
  immortal(node: Node): Node {
    if (node.durable === undefined) return node;
    return (this.#immortal[node.id] ??= this.intern({ ...node, durable: undefined }));
  }
}

function timelessRole(role: Role): Role {
  switch (role.kind) {
    case "follower":
      return role;
    case "prober":
    case "candidate":
      return { ...role, askedAtMs: 0 };
    case "leader":
      return {
        ...role,
        beatAtMs: 0,
        heardAtMs: new Map([...role.heardAtMs.keys()].map((node) => [node, 0])),
        inFlight: new Map([...role.inFlight].map(([slot, it]) => [slot, { ...it, sentAtMs: 0 }])),
      };
  }
}
