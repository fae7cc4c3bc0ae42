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
  | { readonly kind: "settle" };

/** Looks at single nodes and remembers what was ever seen, as bits; some combinations must never be. */
export interface Observer {
  readonly look: (state: PaxosState) => number;
  readonly describe: (node: NodeId, newBits: number) => readonly string[];
  readonly conflict: (bits: number) => string | undefined;
}

export interface Scope {
  readonly nodes: number;
  /** Clients propose only up to this slot. */
  readonly slots: number;
  /** How many campaigns there are, over all nodes. */
  readonly ballots: number;
  readonly crashes?: number;
  /** Default: all slots at once. */
  readonly windowSlots?: number;
  /** Default: everything on one page. */
  readonly pageSlots?: number;
  /** Whether acceptors say no. Saying nothing covers the same outcomes; see messages.ts. */
  readonly nacks?: boolean;
  /** Messages live for ever; to show that what messages.ts drops was dead, and for cores that break its assumptions. */
  readonly keepsDead?: boolean;
  readonly prologue?: readonly Directive[];
  /** What a leader's client proposes next; default one distinct value per ballot and slot. */
  readonly client?: (state: PaxosState) => Value | undefined;
  readonly observer?: Observer;
  readonly describeValue?: (value: Value) => string;
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
  readonly sights: ReadonlySet<Sight>;
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
  | "a node restarts";
