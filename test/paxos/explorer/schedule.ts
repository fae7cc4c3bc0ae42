/** One line for each thing that happened, in words. */
import type { Value } from "../../../coordinator/paxos/message.ts";
import type { PaxosState } from "../../../coordinator/paxos/state.ts";
import type { Ballot } from "../../../shared/model/ids.ts";
import { ownerOf, roundOf } from "../../../shared/model/ids.ts";
import type { Action, NodeAction } from "./actions.ts";
import type { ExploredMessage, Sent } from "./messages.ts";
import type { Application } from "./scope.ts";

type Describe = (value: Value) => string;

export interface LineContext {
  /** The node that acts, before it does. */
  readonly node: PaxosState | undefined;
  readonly sent: Sent | undefined;
  readonly application: Application;
}

export function actionLine(action: Action, { node, sent, application }: LineContext): string {
  if (action.kind === "outside") return application.describeMove(action.move);
  if (action.kind !== "deliver") return nodeActionLine(action, node);
  if (sent === undefined) return "a message arrives";
  const { from, to, message } = sent;
  const what = messageLine(message, (value) => application.describeValue(value));
  return `node ${to} receives from node ${from}: ${what}`;
}

function nodeActionLine(action: NodeAction, node: PaxosState | undefined): string {
  const self = `node ${action.node + 1}`;
  switch (action.kind) {
    case "campaign":
      return `${self} campaigns with ballot ${action.detail}.${action.node + 1}`;
    case "propose": {
      const slot = node?.role.kind === "leader" ? node.role.nextSlot : "?";
      const under = node?.role.kind === "leader" ? ballotText(node.role.ballot) : "?";
      return `${self} proposes for its client in slot ${slot} under ballot ${under}`;
    }
    case "learn":
      return `${self} learns the next chosen slot from node ${action.detail + 1}`;
    case "restart":
      return `${self} crashes and restarts from its log`;
    case "timeout":
      return node?.role.kind === "leader"
        ? `${self} hears no quorum for an election timeout`
        : `${self} has waited long enough and probes`;
    case "silence":
      return `${self} loses its link to the leader, node ${node?.heardLeader?.node ?? "?"}`;
    case "retry":
      return `${self} asks the next peer for what it lacks`;
    case "save":
      return `${self} has a durable snapshot of everything up to slot ${action.detail}`;
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
      const { truncatedUpTo } = message;
      const floor = truncatedUpTo > 0 ? `, truncated up to slot ${truncatedUpTo}` : "";
      return `phase1b ballot ${ballotText(message.ballot)}: ${report}${floor}`;
    }
    case "phase2a":
      return `phase2a ballot ${ballotText(message.ballot)}, slot ${message.slot}: ${named(message.value, describe)}`;
    case "phase2b":
      return `phase2b ballot ${ballotText(message.ballot)}, slot ${message.slot}`;
    case "heartbeat":
      return `heartbeat ballot ${ballotText(message.ballot)}: chosen up to slot ${message.chosenUpTo}`;
    case "nack":
      return `nack: promised ${ballotText(message.promised)}`;
    case "probe":
      return `probe ${message.attempt}`;
    case "probeReply":
      return `probeReply ${message.attempt}: ${message.granted ? "granted" : "refused"}`;
    case "learnRequest":
      return `learnRequest from slot ${message.fromSlot}`;
    case "snapshotOffer":
      return `snapshotOffer of slot ${message.slot}`;
    case "snapshotArrives":
      return `its snapshot of slot ${message.slot}, all of it`;
    case "learnReply": {
      const slots = message.slots.map((s) => `slot ${s.slot}: ${named(s.value, describe)}`);
      return `learnReply: chosen are ${slots.join(", ")}`;
    }
  }
}
