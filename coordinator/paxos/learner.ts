/**
 * The learner: which slots are chosen, and how a node that missed some catches up from any peer.
 *
 * C5: a follower takes a leader's word "everything up to s is chosen" for a slot only if it accepted that slot under
 * the very ballot of the leader; then the value cannot differ. Any other slot is fetched. (A leader that learns that
 * it was replaced steps down at once, so its word stays true: see `learn`.)
 */
import { assert } from "../../shared/model/assert.ts";
import type { Ballot, NodeId, Slot } from "../../shared/model/ids.ts";
import { nextSlot } from "../../shared/model/ids.ts";
import type { ChosenSlot, PaxosMessage, Value } from "./message.ts";
import type { PaxosState } from "./state.ts";
import { sameValue, type Turn } from "./turn.ts";

type LearnRequest = Extract<PaxosMessage, { kind: "learnRequest" }>;
type LearnReply = Extract<PaxosMessage, { kind: "learnReply" }>;

export function followChosen(turn: Turn, leader: NodeId, ballot: Ballot, upTo: Slot): void {
  for (let slot = nextSlot(turn.state.chosenUpTo); slot <= upTo; slot = nextSlot(slot)) {
    const entry = turn.state.log.get(slot);
    if (entry?.kind === "chosen") continue;
    if (entry === undefined || entry.ballot !== ballot) break;
    turn.markChosen(slot, entry.value);
  }
  wantUpTo(turn, leader, upTo);
}

/** Asks for what is missing, unless it is on its way already. */
export function wantUpTo(turn: Turn, peer: NodeId, upTo: Slot): void {
  const { catchUp, chosenUpTo, config } = turn.state;
  if (peer === config.self || upTo <= chosenUpTo) return;
  if (catchUp === undefined) askForPage(turn, peer, upTo);
  else if (upTo > catchUp.upTo) turn.change({ catchUp: { ...catchUp, upTo } });
}

function askForPage(turn: Turn, peer: NodeId, upTo: Slot): void {
  turn.change({ catchUp: { peer, upTo, askedAtMs: turn.state.nowMs } });
  turn.sendTo(peer, { kind: "learnRequest", fromSlot: nextSlot(turn.state.chosenUpTo) });
}

/** A request or its answer was lost, or the peer is gone or does not know: try the next peer. */
export function retryCatchUp(turn: Turn): void {
  const { catchUp, nowMs, config, chosenUpTo } = turn.state;
  if (catchUp === undefined) return;
  if (catchUp.upTo <= chosenUpTo) {
    turn.change({ catchUp: undefined });
    return;
  }
  if (nowMs - catchUp.askedAtMs < config.heartbeatIntervalMs) return;
  const others = config.members.filter((node) => node !== config.self);
  const next = others[(others.indexOf(catchUp.peer) + 1) % others.length];
  assert(next !== undefined, "a node that catches up has peers");
  askForPage(turn, next, catchUp.upTo);
}

export function onLearnRequest(turn: Turn, from: NodeId, message: LearnRequest): void {
  if (message.fromSlot <= turn.state.log.truncatedUpTo) {
    offerSnapshot(turn, from);
    return;
  }
  const slots = chosenPage(turn.state, message.fromSlot);
  if (slots.length === 0) return;
  turn.sendTo(from, { kind: "learnReply", slots, chosenUpTo: turn.state.chosenUpTo });
}

/** Released, so that the snapshot counts, durably, before anybody asks for it. */
export function offerSnapshot(turn: Turn, to: NodeId): void {
  const { snapshotSlot, chosenUpTo } = turn.state;
  turn.releaseTo(to, { kind: "snapshotOffer", slot: snapshotSlot, chosenUpTo });
}

function chosenPage(state: PaxosState, fromSlot: Slot): readonly ChosenSlot[] {
  const slots: ChosenSlot[] = [];
  let bytes = 0;
  for (let slot = fromSlot; slot <= state.chosenUpTo; slot = nextSlot(slot)) {
    if (slots.length >= state.config.pageSlots || bytes >= state.config.pageBytes) break;
    const entry = state.log.get(slot);
    assert(entry?.kind === "chosen", "C3: every slot up to chosenUpTo is chosen");
    slots.push({ slot, value: entry.value });
    bytes += entry.value.length;
  }
  return slots;
}

export function onLearnReply(turn: Turn, from: NodeId, message: LearnReply): void {
  const before = turn.state.chosenUpTo;
  for (const { slot, value } of message.slots) learn(turn, slot, value);
  if (turn.state.chosenUpTo > before) goOnCatchingUp(turn, from, message.chosenUpTo);
}

/** Something arrived from `peer`, which knows all up to `knownThere`. */
export function goOnCatchingUp(turn: Turn, peer: NodeId, knownThere: Slot): void {
  const { catchUp, chosenUpTo } = turn.state;
  if (catchUp === undefined) return;
  const upTo = knownThere > catchUp.upTo ? knownThere : catchUp.upTo;
  if (chosenUpTo >= upTo) turn.change({ catchUp: undefined });
  else askForPage(turn, peer, upTo);
}

/**
 * Takes a value that a peer knows to be chosen. A leader that meets a slot which it neither proposed nor found in phase 1,
 * or another value than its own, was replaced by a higher ballot that it has not heard of.
 */
export function learn(turn: Turn, slot: Slot, value: Value): void {
  const { role, log } = turn.state;
  if (slot <= log.truncatedUpTo) return;
  const known = log.get(slot);
  if (known?.kind === "chosen") {
    assert(sameValue(known.value, value), "C1: one slot has one chosen value");
    return;
  }
  if (role.kind === "leader") {
    const mine = role.inFlight.get(slot);
    const isForeign = mine === undefined ? slot > role.recoverUpTo : !sameValue(mine.value, value);
    if (isForeign) turn.follow();
    else if (mine !== undefined) {
      const inFlight = new Map(role.inFlight);
      inFlight.delete(slot);
      turn.become({ ...role, inFlight });
    }
  }
  turn.persist({ kind: "learned", slot, value });
  turn.markChosen(slot, value);
}
