/**
 * The message set. A message once sent stays deliverable for ever, which is loss, duplication and reordering in one,
 * until it is dead: until no delivery of it can ever again change a node or produce a message that matters.
 *
 * Why each of these is dead (promises only rise, a ballot is campaigned for once, roles of a ballot never come back):
 * - phase1a, once its sender is past collecting this node's promise. Delivered, it could still raise a promise; but that
 *   only forbids things, so whatever could follow can follow without it.
 * - phase1b, phase2b, once nobody counts it.
 * - phase2a below the promise, and phase2a that was accepted: its answer is in the set already.
 * - heartbeat below the promise, or telling what the node knows. (In sending, each phase2a was split into one that names
 *   nothing chosen and a heartbeat that does: delivered one after the other they do the same.) Deposing a leader or
 *   candidate, which it could still do, only forbids things.
 * - learnReply (here only an acceptor's word to a replaced leader), once all in it is known to be chosen.
 * - what would only be answered by a nack, where nacks are left out: the deposed leader that hears none merely goes on
 *   sending what nobody accepts. Scopes with nacks keep it as long as somebody could be deposed.
 */
import type { PaxosMessage } from "../../../coordinator/paxos/message.ts";
import type { PaxosState, Role } from "../../../coordinator/paxos/state.ts";
import type { Ballot, NodeId } from "../../../shared/model/ids.ts";

export interface Sent {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly message: PaxosMessage;
}

export interface Surroundings {
  readonly sender: PaxosState;
  readonly target: PaxosState;
  /** What the target still knows after a crash; the same as `target` where no crash can come. */
  readonly remembered: PaxosState;
  readonly nacks: boolean;
  /** Whether the target was ever seen to accept this. */
  readonly wasAccepted: boolean;
}

function isCandidate(role: Role, ballot: Ballot): boolean {
  return role.kind === "candidate" && role.ballot === ballot;
}

function isLeader(role: Role, ballot: Ballot): boolean {
  return role.kind === "leader" && role.ballot === ballot;
}

function isComplete(role: Role, node: NodeId): boolean {
  return role.kind === "candidate" && role.progress.get(node) === null;
}

export function isDead({ from, to, message }: Sent, around: Surroundings): boolean {
  const { sender, target, remembered, nacks, wasAccepted } = around;
  const isRefused = (ballot: Ballot): boolean => ballot < remembered.promised;
  switch (message.kind) {
    case "phase1a":
      if (!isCandidate(sender.role, message.ballot) || isComplete(sender.role, to)) return true;
      return isRefused(message.ballot) && !nacks;
    case "phase1b":
      return !isCandidate(target.role, message.ballot) || isComplete(target.role, from);
    case "phase2a":
      if (isRefused(message.ballot)) return !nacks || !isLeader(sender.role, message.ballot);
      return wasAccepted;
    case "phase2b":
      return (
        target.role.kind !== "leader" ||
        target.role.ballot !== message.ballot ||
        !target.role.inFlight.has(message.slot)
      );
    case "heartbeat":
      if (isRefused(message.ballot)) return !nacks || !isLeader(sender.role, message.ballot);
      return message.chosenUpTo <= remembered.chosenUpTo;
    case "nack":
      return (
        (target.role.kind !== "leader" && target.role.kind !== "candidate") ||
        target.role.ballot >= message.promised
      );
    case "learnReply":
      return message.slots.every(({ slot }) => remembered.log.get(slot)?.kind === "chosen");
    default:
      return true;
  }
}
