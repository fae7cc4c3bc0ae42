/** One line for each thing that happened, in words. */
import type { Value } from "../../../coordinator/paxos/message.ts";
import type { PaxosState } from "../../../coordinator/paxos/state.ts";
import type { Ballot } from "../../../shared/model/ids.ts";
import { ownerOf, roundOf } from "../../../shared/model/ids.ts";
import type { Action } from "./actions.ts";
import type { ExploredMessage, Sent } from "./messages.ts";

type Describe = (value: Value) => string;

export interface LineContext {
  /** The node that acts, before it does. */
  readonly node: PaxosState | undefined;
  readonly sent: Sent | undefined;
  readonly describe: Describe;
}

export function actionLine(action: Action, { node, sent, describe }: LineContext): string {
  switch (action.kind) {
    case "deliver": {
      if (sent === undefined) return "a message arrives";
      const { from, to, message } = sent;
      return `node ${to} receives from node ${from}: ${messageLine(message, describe)}`;
    }
    case "campaign":
      return `node ${action.node + 1} campaigns with ballot ${action.round}.${action.node + 1}`;
    case "propose": {
      const slot = node?.role.kind === "leader" ? node.role.nextSlot : "?";
      const under = node?.role.kind === "leader" ? ballotText(node.role.ballot) : "?";
      return `node ${action.node + 1} proposes for its client in slot ${slot} under ballot ${under}`;
    }
    case "learn":
      return `node ${action.node + 1} learns the next chosen slot from node ${action.peer + 1}`;
    case "restart":
      return `node ${action.node + 1} crashes and restarts from its log`;
  }
}

function ballotText(ballot: Ballot): string {
  return `${roundOf(ballot)}.${ownerOf(ballot) ?? 0}`;
}

function named(value: Value, describe: Describe): string {
  return value.length === 0 ? "no-op" : describe(value);
}

function messageLine(message: ExploredMessage, describe: Describe): string {
  switch (message.kind) {
    case "phase1a":
      return `phase1a ballot ${ballotText(message.ballot)} from slot ${message.fromSlot}`;
    case "phase1b": {
      const slots = message.slots.map((reported) =>
        reported.kind === "chosen"
          ? `slot ${reported.slot} chosen ${named(reported.value, describe)}`
          : `slot ${reported.slot} accepted ${named(reported.value, describe)} under ${ballotText(reported.ballot)}`,
      );
      const report = slots.length === 0 ? "nothing accepted" : slots.join(", ");
      return `phase1b ballot ${ballotText(message.ballot)}: ${report}`;
    }
    case "phase2a":
      return `phase2a ballot ${ballotText(message.ballot)}, slot ${message.slot}: ${named(message.value, describe)}`;
    case "phase2b":
      return `phase2b ballot ${ballotText(message.ballot)}, slot ${message.slot}`;
    case "heartbeat":
      return `heartbeat ballot ${ballotText(message.ballot)}: chosen up to slot ${message.chosenUpTo}`;
    case "nack":
      return `nack: promised ${ballotText(message.promised)}`;
    case "learnReply": {
      const slots = message.slots.map((s) => `slot ${s.slot}: ${named(s.value, describe)}`);
      return `learnReply: chosen are ${slots.join(", ")}`;
    }
  }
}
