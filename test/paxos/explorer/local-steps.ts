/**
 * Steps of single nodes, each computed once by the production `step` and then remembered: the cost of an exploration is
 * the number of distinct (state, input) pairs, not of global states.
 *
 * What an exploration lets happen to a node, and why nothing is missed:
 * - A ballot is numbered by the exploration: the round is given, the owner is the node. Production takes the round after
 *   the highest it saw; since only the order of ballots matters, any history there has its twin here. (With time-outs the core
 *   numbers them, and what would lie above the scope does not happen.)
 * - Its own phase1a and phase2b come to a node at once. The report of its own log could later differ only by slots marked
 *   chosen, which it would skip anyway; and a vote counted early is like another's vote delivered late. Its own phase1b
 *   stays in the message set: a quorum of others may come first.
 * - After each step a leader gets a tick in which no time has passed, with intervals of 0: it says now what it could ever say
 *   about what is chosen, and the message set keeps it for as late as one likes.
 * - Any node learns the next slot from any other that knows it, at any time, by the production request and reply: every
 *   catch-up, whoever asked when and however pages were cut, is a sequence of these; where the other has truncated the slot,
 *   it is offered a snapshot. (Or requests and replies are messages
 *   like others, see `catchUp` in scope.ts.)
 * - Time does not pass: what waits for it may happen at any moment, as often as the scope allows. A time-out is the tick at
 *   which everything is overdue; silence is the loss of the link to the leader.
 * - A snapshot is durable at any moment after its slot was applied; a peer's arrives at any moment after it was offered.
 * - Where no time-outs are explored nobody has heard a leader of late, and a leader that is asked for a promise has heard
 *   nobody: staying with it would only be as if the question were lost.
 * - Persisting is atomic with the step. A crash keeps exactly what was persisted; what was to be released may be lost,
 *   like any message. Of the log below a snapshot the store drops all it may; that it keeps more changes nothing is checked.
 */
import { InvariantViolation } from "../../../shared/model/assert.ts";
import {
  ballot,
  nextSlot,
  nodeId,
  slot as slotOf,
  ZERO_BALLOT,
} from "../../../shared/model/ids.ts";
import type { Value } from "../../../coordinator/paxos/message.ts";
import type { DurableRecord } from "../../../coordinator/paxos/record.ts";
import type { PaxosInput, PaxosState } from "../../../coordinator/paxos/state.ts";
import { step as productionStep } from "../../../coordinator/paxos/step.ts";
import { packAction, type NodeAction } from "./actions.ts";
import { messageText } from "./canonical.ts";
import { Interner } from "./interner.ts";
import type { Desk, Local, Vote } from "./local.ts";
import type { ExploredMessage, Sent } from "./messages.ts";
import { Nodes, type Node } from "./node.ts";
import { PairTable } from "./pair-table.ts";
import type { Scope, Sight, StepFunction } from "./scope.ts";
import { Settling, tick } from "./settling.ts";
import { sightsOf } from "./sights.ts";

const HIGHEST_NODE = nodeId(1023);

function afterSilence(state: PaxosState): PaxosState {
  const { role, config } = state;
  if (role.kind !== "leader") return state;
  const heardAtMs = new Map(config.members.map((node) => [node, -config.electionTimeoutMs]));
  return { ...state, role: { ...role, heardAtMs } };
}

export class LocalSteps implements Desk {
  readonly nodes: Nodes;
  readonly messages = new Interner<Sent>();
  readonly sights = new Set<Sight>();
  readonly #scope: Scope;
  readonly #step: StepFunction;
  readonly #votes = new Interner<readonly Vote[]>();
  readonly #places = new PairTable();
  readonly #locals: Local[] = [];
  calls = 0;

  constructor(scope: Scope) {
    this.#scope = scope;
    this.#step = scope.step ?? productionStep;
    this.nodes = new Nodes(scope);
    this.#votesId([]);
  }

  votesOf(id: number): readonly Vote[] {
    return this.#votes.get(id);
  }

  #votesId(votes: readonly Vote[]): number {
    const key = votes.map(({ slot, rank, value }) => `${slot} ${rank} ${value}`).join();
    return this.#votes.idOf(key, () => votes);
  }

  #asked(state: PaxosState, message: ExploredMessage): PaxosState {
    const isCampaign = message.kind === "phase1a" && message.ballot > state.promised;
    return isCampaign && this.#scope.timeouts === undefined ? afterSilence(state) : state;
  }

  deliver(node: Node, message: number): Local {
    return this.#once(node, packAction({ kind: "deliver", message }), () => {
      const { from, message: content, content: held } = this.messages.get(message);
      if (content.kind !== "snapshotArrives") {
        const input = { kind: "message", from, message: content } as const;
        return this.#run(node, this.#asked(node.state, content), input, held);
      }
      const input = { kind: "snapshotSaved", slot: content.slot, origin: "peer" } as const;
      return this.#run(node, node.state, input, held);
    });
  }

  /** All but `propose` and `learn`, which depend on more than the node. */
  act(node: Node, action: NodeAction): Local {
    return this.#once(node, packAction({ ...action, node: 0 }), () => {
      const { state } = node;
      switch (action.kind) {
        case "campaign":
          return this.#campaign(node, action.detail);
        case "restart":
          return this.#restart(node);
        case "timeout":
          return this.#run(node, state, tick(state.nowMs + state.config.electionTimeoutMs));
        case "retry":
          return this.#run(node, state, tick(state.nowMs));
        case "silence":
          if (state.heardLeader === undefined) return { kind: "beyond" };
          return this.#run(node, state, { kind: "peerLost", node: state.heardLeader.node });
        case "save": {
          const slot = slotOf(action.detail);
          return this.#run(node, state, { kind: "snapshotSaved", slot, origin: "own" });
        }
        case "propose":
        case "learn":
          throw new Error(`${action.kind} needs more than the node`);
      }
    });
  }

  #campaign(node: Node, round: number): Local {
    const highestSeen = round === 1 ? ZERO_BALLOT : ballot(round - 1, HIGHEST_NODE);
    return this.#run(node, { ...node.state, highestSeen }, { kind: "campaign" });
  }

  propose(node: Node, value: Value): Local {
    const detail = this.nodes.valueId(value);
    return this.#once(node, packAction({ kind: "propose", node: 0, detail }), () =>
      this.#run(node, node.state, { kind: "propose", value }),
    );
  }

  /** Of a peer that knows nothing new: beyond. */
  learn(node: Node, peer: Node): Local {
    if (peer.state.chosenUpTo <= node.state.chosenUpTo) return { kind: "beyond" };
    return this.#once(node, packAction({ kind: "learn", node: 0, detail: peer.id }), () => {
      const onePage = { ...peer.state, config: { ...peer.state.config, pageSlots: 1 } };
      const fromSlot = nextSlot(node.state.chosenUpTo);
      const from = node.state.config.self;
      const request = { kind: "learnRequest", fromSlot } as const;
      const { output } = this.#step(onePage, { kind: "message", from, message: request });
      const [reply] = [...output.send, ...output.release];
      if (reply === undefined) return { kind: "halted", why: "a node that knows does not tell" };
      const { message } = reply;
      const input = { kind: "message", from: peer.state.config.self, message } as const;
      return this.#run(node, node.state, input, peer.saved);
    });
  }

  #restart(node: Node): Local {
    this.sights.add("a node restarts");
    const { state, durable, saved } = node;
    const { state: recovered, apply } = this.nodes.restarted(state.config, durable ?? []);
    if (saved.length > 0) this.sights.add("a node restarts from a snapshot");
    const applied = [...saved, ...apply.map(({ value }) => this.nodes.valueId(value))];
    const restarted = this.nodes.intern({ state: recovered, durable, applied, saved });
    return { kind: "stepped", node: restarted, sent: [], votes: 0, campaigned: 0 };
  }

  #once(node: Node, input: number, compute: () => Local): Local {
    const place = this.#places.get(node.id, input);
    const known = place < 0 ? undefined : this.#locals[place];
    if (known !== undefined) return known;
    const local = compute();
    this.#places.set(node.id, input, this.#locals.length);
    this.#locals.push(local);
    return local;
  }

  #run(node: Node, from: PaxosState, input: PaxosInput, content?: readonly number[]): Local {
    try {
      return new Settling(this, this.#scope, node, content).settle(from, input);
    } catch (error) {
      if (error instanceof InvariantViolation) return { kind: "halted", why: error.message };
      throw error;
    }
  }

  stepOnce(state: PaxosState, input: PaxosInput): ReturnType<StepFunction> {
    this.calls += 1;
    const stepped = this.#step(state, input);
    for (const sight of sightsOf(state, stepped.state, input, stepped.output)) {
      this.sights.add(sight);
    }
    return stepped;
  }

  messageId(sent: Sent): number {
    const { from, to, message, content } = sent;
    const key = `${from}>${to} ${messageText(message)} ${content?.join() ?? ""}`;
    return this.messages.idOf(key, () => sent);
  }

  votesIn(records: readonly DurableRecord[]): number {
    const votes = records.flatMap((record): readonly Vote[] => {
      if (record.kind !== "accepted") return [];
      const value = this.nodes.valueId(record.value);
      return [{ slot: record.slot, rank: this.nodes.rankOf(record.ballot), value }];
    });
    return this.#votesId(votes);
  }
}
