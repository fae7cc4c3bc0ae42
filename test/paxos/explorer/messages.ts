/**
 * The message set. A message once sent stays deliverable for ever, which is loss, duplication and reordering in one,
 * until it is dead: until no delivery of it can ever again change a node or produce a message that matters.
 *
 * Why each of these is dead (promises only rise, a ballot is campaigned for once, roles of a ballot never come back):
 * - phase1a, once its sender is past collecting this node's promise. Delivered, it could still raise a promise; but that
 *   only forbids things, so whatever could follow can follow without it.
 * - phase1b, phase2b, once nobody counts it.
 * - phase2a below the promise; phase2a that was accepted, for its answer is in the set already; and phase2a in a slot that
 *   the target knows to be chosen, once its sender does not count any more: one more vote for what is chosen.
 * - heartbeat telling what the node knows. (In sending, each phase2a was split into one that names
 *   nothing chosen and a heartbeat that does: delivered one after the other they do the same.) Deposing a leader or
 *   candidate, which it could still do, only forbids things.
 * - nack to a ballot that ended, or from a node that refused it before; any nack where nacks are left out.
 * - learnReply (here only an acceptor's word to a replaced leader), once all in it is known to be chosen.
 * - what would only be answered by a nack, where nacks are left out: the deposed leader that hears none merely goes on
 *   sending what nobody accepts. Scopes with nacks keep it as long as somebody could be deposed.
 */
import type { PaxosMessage } from "../../../coordinator/paxos/message.ts";
import type { Entry, PaxosState } from "../../../coordinator/paxos/state.ts";
import type { Ballot, NodeId, Slot } from "../../../shared/model/ids.ts";
import { ZERO_SLOT } from "../../../shared/model/ids.ts";

/** The rest has no part in an exploration: probes need time, beats too, and anybody may learn unasked. */
export type ExploredMessage = Exclude<
  PaxosMessage,
  { kind: "probe" | "probeReply" | "heartbeatReply" | "learnRequest" }
>;

export interface Sent {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly message: ExploredMessage;
}

/** What goes into the message set for a message sent. */
export function explored(message: PaxosMessage): readonly ExploredMessage[] {
  switch (message.kind) {
    case "probe":
    case "probeReply":
    case "heartbeatReply":
    case "learnRequest":
      return [];
    case "phase2a": {
      const { ballot, chosenUpTo } = message;
      const beat = { kind: "heartbeat", ballot, beat: 0, chosenUpTo } as const;
      return [{ ...message, chosenUpTo: ZERO_SLOT }, beat];
    }
    case "learnReply":
      return [{ ...message, chosenUpTo: ZERO_SLOT }];
    case "phase1a":
    case "phase1b":
    case "phase2b":
    case "nack":
    case "heartbeat":
      return [message];
  }
}

/** A node as far as messages to it can be dead; what is remembered is what a crash would leave of it. */
export interface Target {
  readonly state: PaxosState;
  readonly remembered: PaxosState;
  readonly rememberedLog: readonly (Entry | undefined)[];
}

function isCandidate({ role }: PaxosState, ballot: Ballot): boolean {
  return role.kind === "candidate" && role.ballot === ballot;
}

function isLeader({ role }: PaxosState, ballot: Ballot): boolean {
  return role.kind === "leader" && role.ballot === ballot;
}

function isComplete({ role }: PaxosState, node: NodeId): boolean {
  return role.kind === "candidate" && role.progress.get(node) === null;
}

function counts({ role }: PaxosState, ballot: Ballot, slot: Slot): boolean {
  return role.kind === "leader" && role.ballot === ballot && role.inFlight.has(slot);
}

export function isDead(sent: Sent, sender: PaxosState, target: Target, nacks: boolean): boolean {
  const { from, to, message } = sent;
  const { state, remembered } = target;
  switch (message.kind) {
    case "phase1a":
      if (!isCandidate(sender, message.ballot) || isComplete(sender, to)) return true;
      return message.ballot < remembered.promised && !nacks;
    case "phase1b":
      return !isCandidate(state, message.ballot) || isComplete(state, from);
    case "phase2a":
      if (message.ballot >= remembered.promised) return isAnswered(message, sender, target);
      return !nacks || !isLeader(sender, message.ballot);
    case "phase2b":
      return !counts(state, message.ballot, message.slot);
    case "heartbeat":
      if (message.chosenUpTo > remembered.chosenUpTo) return false;
      return message.ballot >= remembered.promised || !nacks || !isLeader(sender, message.ballot);
    case "nack":
      return !nacks || !isNewRefusal(state, from, message.ballot);
    case "learnReply":
      return message.slots.every(({ slot }) => target.rememberedLog[slot]?.kind === "chosen");
  }
}

function isAnswered(
  { ballot, slot }: Extract<ExploredMessage, { kind: "phase2a" }>,
  sender: PaxosState,
  { rememberedLog }: Target,
): boolean {
  const entry = rememberedLog[slot];
  if (entry?.kind === "accepted") return entry.ballot === ballot;
  return entry?.kind === "chosen" && !counts(sender, ballot, slot);
}

function isNewRefusal({ role }: PaxosState, from: NodeId, ballot: Ballot): boolean {
  const leads = role.kind === "leader" || role.kind === "candidate";
  return leads && role.ballot === ballot && !role.refusedBy.includes(from);
}
