/** What one step of one node comes to, and what is needed to work it out. */
import type { DurableRecord } from "../../../coordinator/paxos/record.ts";
import type { PaxosInput, PaxosState, Stepped } from "../../../coordinator/paxos/state.ts";
import type { Sent } from "./messages.ts";
import type { Node, Nodes } from "./node.ts";

export interface Vote {
  readonly slot: number;
  readonly rank: number;
  readonly value: number;
}

export type Local =
  | { readonly kind: "broken"; readonly what: string }
  | { readonly kind: "halted"; readonly why: string }
  /** It does not happen within the scope. */
  | { readonly kind: "beyond" }
  | {
      readonly kind: "stepped";
      readonly node: Node;
      readonly sent: readonly number[];
      /** The number of this list of votes; 0 is the empty one. */
      readonly votes: number;
      /** The rank of the ballot for which it now campaigns, and did not before; 0 if it does not. */
      readonly campaigned: number;
    };

export interface Desk {
  readonly nodes: Nodes;
  /** One call of the core, counted. */
  stepOnce(state: PaxosState, input: PaxosInput): Stepped;
  messageId(sent: Sent): number;
  /** The number of the list of votes that these records are. */
  votesIn(records: readonly DurableRecord[]): number;
}
