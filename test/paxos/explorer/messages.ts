/**
 * The message set. A message once sent stays deliverable for ever, which is loss, duplication and reordering in one,
 * until it is dead: until no delivery of it can ever again change a node or produce a message that matters.
 *
 * Why each of these is dead (promises only rise, a ballot is campaigned for once, roles of a ballot never come back):
 * - phase1a, once its sender is past collecting this node's promise. Delivered, it could still raise a promise; but that
 *   only forbids things, so whatever could follow can follow without it.
 * - phase1b, phase2b, once nobody counts it.
 * - phase2a below the promise; phase2a that was accepted, for its answer is in the set already; phase2a in a slot that the
 *   target knows to be chosen, once its sender does not count any more: one more vote for what is chosen; and phase2a in a
 *   slot that the target has truncated, once its sender does not lead any more: then it asks for what it lacks like anyone.
 * - heartbeat telling what the node knows. (In sending, each phase2a was split into one that names
 *   nothing chosen and a heartbeat that does: delivered one after the other they do the same.) Deposing a leader or
 *   candidate, which it could still do, only forbids things. Where leaders are heard in time, not before its sender is deposed.
 * - nack to a ballot that ended, or from a node that refused it before; any nack where nacks are left out.
 * - learnReply, once all in it is known to be chosen; learnRequest, once the sender knows the
 *   slot that it asks for: pages hold one slot, and what else an answer could tell, that to a later request tells as well.
 * - snapshotOffer and a snapshot on its way, once the target knows everything in it.
 * - probe and probeReply, once that attempt is over or has this grant. A late reply could still raise the round of the next
 *   campaign, as a nack can.
 * - what would only be answered by a nack, where nacks are left out: the deposed leader that hears none merely goes on
 *   sending what nobody accepts. Scopes with nacks keep it as long as somebody could be deposed.
 */
import { unreachable } from "../../../shared/model/assert.ts";
import type { PaxosMessage } from "../../../coordinator/paxos/message.ts";
import type { PaxosState } from "../../../coordinator/paxos/state.ts";
import type { Ballot, NodeId, Slot } from "../../../shared/model/ids.ts";
import { ZERO_SLOT } from "../../../shared/model/ids.ts";
import type { Scope } from "./scope.ts";

/** A peer's snapshot on its way: what the shells make of a fetch, however long the transfer takes. */
export interface SnapshotArrives {
  readonly kind: "snapshotArrives";
  readonly slot: Slot;
}

export type ExploredMessage = Exclude<PaxosMessage, { kind: "heartbeatReply" }> | SnapshotArrives;

export interface Sent {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly message: ExploredMessage;
  /** With a snapshotOffer and a snapshot: the values it holds, by slot from 1. No node ever looks at it. */
  readonly content: readonly number[] | undefined;
}

/** What goes into the message set for a message sent. */
export function explored(message: PaxosMessage, scope: Scope): readonly ExploredMessage[] {
  switch (message.kind) {
    case "heartbeatReply":
      return [];
    case "probe":
    case "probeReply":
      return scope.timeouts === undefined ? [] : [message];
    case "learnRequest":
      return scope.catchUp === "messages" ? [message] : [];
    case "phase2a": {
      const { ballot, chosenUpTo } = message;
      const beat = { kind: "heartbeat", ballot, beat: 0, chosenUpTo } as const;
      return [{ ...message, chosenUpTo: ZERO_SLOT }, beat];
    }
    case "phase1a":
    case "phase1b":
    case "phase2b":
    case "nack":
    case "heartbeat":
    case "snapshotOffer":
      return [message];
    case "learnReply":
      return scope.catchUp === "messages" ? [message] : [{ ...message, chosenUpTo: ZERO_SLOT }];
  }
}

/** A node as far as messages from and to it can be dead; what is remembered is what a crash would leave of it. */
export interface End {
  readonly state: PaxosState;
  readonly remembered: PaxosState;
}

/** How far the sender still needs the message. */
const Need = { counts: 0, leads: 1, none: 2 } as const;
/** Never dead, however little its sender needs it. */
const NEVER = 3;

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

/** 0 to 2: counts its answers, leads under its ballot, or neither. */
export function senderNeed({ to, message }: Sent, { state, remembered }: End): number {
  const when = (isNeeded: boolean): number => (isNeeded ? Need.counts : Need.none);
  switch (message.kind) {
    case "phase1a":
      return when(isCandidate(state, message.ballot) && !isComplete(state, to));
    case "phase2a":
      if (counts(state, message.ballot, message.slot)) return Need.counts;
      return isLeader(state, message.ballot) ? Need.leads : Need.none;
    case "heartbeat":
      return when(isLeader(state, message.ballot));
    case "probe":
      return when(lacksGrant(state, message.attempt, to));
    case "learnRequest":
      return when(remembered.chosenUpTo < message.fromSlot);
    case "phase1b":
    case "phase2b":
    case "nack":
    case "probeReply":
    case "learnReply":
    case "snapshotOffer":
    case "snapshotArrives":
      return Need.counts;
    default:
      return unreachable(message);
  }
}

/** The message is dead when its sender's need is this or more. */
export function deadFrom(sent: Sent, target: End, scope: Scope): number {
  const { message } = sent;
  const { remembered } = target;
  const nacked = scope.nacks === true ? Need.none : Need.counts;
  switch (message.kind) {
    case "phase1a":
      return message.ballot < remembered.promised ? nacked : Need.none;
    case "phase2a":
      return message.ballot < remembered.promised ? nacked : deadOnceAnswered(message, remembered);
    case "heartbeat":
      if (message.chosenUpTo > remembered.chosenUpTo) return NEVER;
      if (message.ballot < remembered.promised) return nacked;
      return scope.timeouts === undefined ? Need.counts : Need.none;
    case "probe":
    case "learnRequest":
      return Need.none;
    case "nack":
    case "phase1b":
    case "phase2b":
    case "probeReply":
    case "learnReply":
    case "snapshotOffer":
    case "snapshotArrives":
      return isPastUse(sent.from, message, target, scope) ? Need.counts : NEVER;
    default:
      return unreachable(message);
  }
}

/** Of messages that are dead or not whatever their sender does. */
function isPastUse(
  from: NodeId,
  message: Exclude<
    ExploredMessage,
    { kind: "phase1a" | "phase2a" | "heartbeat" | "probe" | "learnRequest" }
  >,
  { state, remembered }: End,
  { nacks }: Scope,
): boolean {
  switch (message.kind) {
    case "phase1b":
      return !isCandidate(state, message.ballot) || isComplete(state, from);
    case "phase2b":
      return !counts(state, message.ballot, message.slot);
    case "nack":
      return nacks !== true || !isNewRefusal(state, from, message.ballot);
    case "probeReply":
      return !lacksGrant(state, message.attempt, from);
    case "learnReply":
      return message.slots.every(({ slot }) => isKnown(remembered, slot));
    case "snapshotOffer":
    case "snapshotArrives":
      return message.slot <= remembered.chosenUpTo;
    default:
      return unreachable(message);
  }
}

function lacksGrant({ role }: PaxosState, attempt: number, by: NodeId): boolean {
  return role.kind === "prober" && role.attempt === attempt && !role.grants.includes(by);
}

function isKnown({ log }: PaxosState, slot: Slot): boolean {
  return slot <= log.truncatedUpTo || log.get(slot)?.kind === "chosen";
}

function deadOnceAnswered(
  { ballot, slot }: Extract<ExploredMessage, { kind: "phase2a" }>,
  { log }: PaxosState,
): number {
  if (slot <= log.truncatedUpTo) return Need.none;
  const entry = log.get(slot);
  if (entry?.kind === "chosen") return Need.leads;
  return entry?.ballot === ballot ? Need.counts : NEVER;
}

function isNewRefusal({ role }: PaxosState, from: NodeId, ballot: Ballot): boolean {
  const leads = role.kind === "leader" || role.kind === "candidate";
  return leads && role.ballot === ballot && !role.refusedBy.includes(from);
}
