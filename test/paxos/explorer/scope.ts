/**
 * What an exploration covers, and what it found.
 */
import type { NodeId } from "../../../shared/model/ids.ts";
import type { Value } from "../../../coordinator/paxos/message.ts";
import type { DurableRecord } from "../../../coordinator/paxos/record.ts";
import type { PaxosInput, PaxosState, Stepped } from "../../../coordinator/paxos/state.ts";

export type StepFunction = (state: PaxosState, input: PaxosInput) => Stepped;

/** A fixed beginning, so that a deep situation costs no search: everything sent is delivered at `settle`. */
export type Directive =
  | { readonly kind: "campaign"; readonly node: number; readonly round: number }
  | { readonly kind: "propose"; readonly node: number }
  | { readonly kind: "outside"; readonly move: number }
  | { readonly kind: "timeout"; readonly node: number }
  /** To and from everybody but `without`. */
  | { readonly kind: "settle"; readonly without?: number };

/**
 * What runs on top of the nodes, as one small number (an interned state of its own). It sees each node's steps, makes moves
 * in between, and tells what must never be.
 */
export interface Application {
  readonly start: number;
  /** After a step of a node that changed it. */
  readonly stepped: (state: number, before: PaxosState, after: PaxosState) => number;
  readonly moves: (state: number, nodes: readonly PaxosState[]) => readonly number[];
  readonly move: (state: number, move: number, nodes: readonly PaxosState[]) => number;
  /** What a leader's client proposes next. */
  readonly client: (state: number, leader: PaxosState) => Value | undefined;
  readonly conflict: (state: number) => string | undefined;
  /** Situations that its moves and steps have met so far. */
  readonly sights: ReadonlySet<string>;
  readonly describeMove: (move: number) => string;
  /** What `after` has that `before` has not, when that came of a node's step. */
  readonly describeChange: (before: number, after: number, node: NodeId) => readonly string[];
  readonly describeValue: (value: Value) => string;
}

export interface Scope {
  readonly nodes: number;
  /** Clients propose only up to this slot. */
  readonly slots: number;
  /** How many campaigns there are, over all nodes; with time-outs: the highest round. */
  readonly ballots: number;
  readonly crashes?: number;
  /** Own snapshots that are taken, over all nodes. */
  readonly snapshots?: number;
  /** Slots that an own snapshot leaves in the log; default none. */
  readonly trailingSlots?: number;
  /** Elections go through probes and are begun by time-outs, this many over all nodes; ballots are numbered by the core. */
  readonly timeouts?: number;
  /**
   * How a node gets the chosen slots that it lacks. `atOnce`: any next one from anybody at any time (default). `messages`: by
   * the production requests and replies, with retries. `never`: only from leaders and as a candidate.
   */
  readonly catchUp?: "atOnce" | "messages" | "never";
  /** Default: all slots at once. */
  readonly windowSlots?: number;
  /** Default: everything on one page; one slot a page where catch-up is by messages. */
  readonly pageSlots?: number;
  /** Whether acceptors say no. Saying nothing covers the same outcomes; see messages.ts. */
  readonly nacks?: boolean;
  /** Messages live for ever; to show that what messages.ts drops was dead, and for cores that break its assumptions. */
  readonly keepsDead?: boolean;
  readonly prologue?: readonly Directive[];
  /** Default: a client with one distinct value per ballot and slot. */
  readonly application?: Application;
  /** From every n-th world: with everything delivered and retried, whoever knows that it lacks slots gets them. */
  readonly convergesFromEvery?: number;
  /** Exploration ends, incomplete, when it has met more. */
  readonly maxStates?: number;

  /** The rest is for mutations: what is explored is then not the production core. */
  readonly step?: StepFunction;
  readonly onRestart?: (records: readonly DurableRecord[]) => readonly DurableRecord[];
  /** A node whose own assertion fails halts without a word, and the search goes on to see what would follow elsewhere. */
  readonly ignoreHalts?: boolean;
  /** Report only two values chosen in one slot, not the broken invariants that lead there. */
  readonly onlyAgreement?: boolean;
}

export interface Violation {
  readonly what: string;
  readonly schedule: readonly string[];
}

export interface Exploration {
  /** False when `maxStates` ended it; then the absence of a violation proves nothing. */
  readonly complete: boolean;
  readonly states: number;
  readonly transitions: number;
  /** Distinct calls of the production `step`. */
  readonly localSteps: number;
  readonly depth: number;
  readonly milliseconds: number;
  /** Situations that were met: a check that never meets them proves little. */
  readonly sights: ReadonlySet<string>;
  /** Every combination of chosen values that was reached, in words. */
  readonly chosen: ReadonlySet<string>;
  readonly violation: Violation | undefined;
}

export type Sight =
  | "a value of an older ballot is proposed again"
  | "a no-op fills a hole"
  | "a leader is preempted by a nack"
  | "a chosen slot is learned from a peer"
  | "a follower takes its leader's word"
  | "a leader learns that it was replaced"
  | "a slot is chosen before an earlier one"
  | "a node restarts"
  | "a probe is granted"
  | "a probe is refused for a living leader"
  | "a prober hears a leader and follows"
  | "a leader hears no quorum and steps down"
  | "a leader is elected by way of probes"
  | "a node asks another peer for what it lacks"
  | "a chosen slot arrives on a page"
  | "a proposal far ahead gets no vote"
  | "a log is truncated below a snapshot"
  | "a snapshot is offered"
  | "a peer's snapshot is installed"
  | "a snapshot comes too late and is ignored"
  | "a candidate meets a truncation above what it knows and gives up"
  | "a leader is offered a snapshot and steps down"
  | "a node restarts from a snapshot";
