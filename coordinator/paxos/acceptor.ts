/**
 * The acceptor: promises and accepts. Three lines of Paxos (never promise or accept below the promise; report all that
 * was accepted), and everything it says is released only once it is durable.
 */
import { assert } from "../../shared/model/assert.ts";
import { ZERO_BALLOT, type Ballot, type NodeId, type Slot } from "../../shared/model/ids.ts";
import { admits, heardFrom, staysWithLeader, yieldTo } from "./ballots.ts";
import { followChosen, offerSnapshot } from "./learner.ts";
import type { PaxosMessage, ReportedSlot, Value } from "./message.ts";
import type { Entry, PaxosState } from "./state.ts";
import { sameValue, type Turn } from "./turn.ts";

type Phase1a = Extract<PaxosMessage, { kind: "phase1a" }>;
type Phase2a = Extract<PaxosMessage, { kind: "phase2a" }>;

export function onPhase1a(turn: Turn, from: NodeId, message: Phase1a): void {
  if (!admits(turn, from, message.ballot)) return;
  if (staysWithLeader(turn, from, message.ballot)) return;
  yieldTo(turn, message.ballot);
  if (message.ballot > turn.state.promised) {
    turn.change({ promised: message.ballot });
    turn.waitAnew();
    turn.persist({ kind: "promised", ballot: message.ballot });
  }
  const page = reportFrom(turn.state, message.fromSlot);
  turn.releaseTo(from, {
    kind: "phase1b",
    ballot: message.ballot,
    fromSlot: message.fromSlot,
    ...page,
    truncatedUpTo: turn.state.log.truncatedUpTo,
  });
}

interface Page {
  readonly slots: readonly ReportedSlot[];
  readonly nextSlot: Slot | null;
}

function reportFrom(state: PaxosState, fromSlot: Slot): Page {
  const slots: ReportedSlot[] = [];
  let bytes = 0;
  for (const [slot, entry] of state.log.from(fromSlot)) {
    const full = slots.length >= state.config.pageSlots || bytes >= state.config.pageBytes;
    if (full) return { slots, nextSlot: slot };
    slots.push(reported(slot, entry));
    bytes += entry.value.length;
  }
  return { slots, nextSlot: null };
}

function reported(slot: Slot, entry: Entry): ReportedSlot {
  const { kind, value } = entry;
  return kind === "chosen" ? { kind, slot, value } : { kind, slot, ballot: entry.ballot, value };
}

export function onPhase2a(turn: Turn, from: NodeId, message: Phase2a): void {
  if (!admits(turn, from, message.ballot)) return;
  yieldTo(turn, message.ballot);
  if (message.slot <= turn.state.log.truncatedUpTo) {
    offerSnapshot(turn, from);
    return;
  }
  const known = turn.state.log.get(message.slot);
  if (known?.kind === "chosen" && !sameValue(known.value, message.value)) {
    tellReplaced(turn, from, message.slot, known.value);
    return;
  }
  if (isFarAhead(turn.state, message.slot)) {
    follow(turn, from, message);
    if (isFarAhead(turn.state, message.slot)) return;
  }
  accept(turn, from, message);
  follow(turn, from, message);
}

/**
 * A7: what is not known to be chosen, and so not in any snapshot, is bounded, however far the others go on meanwhile. Not to
 * vote is always safe; and a leader that needs this vote goes on from here, for it can choose no more than its window until this node has
 * caught up.
 */
function isFarAhead({ chosenUpTo, config }: PaxosState, slot: Slot): boolean {
  return slot > chosenUpTo + config.acceptAheadSlots;
}

function follow(turn: Turn, leader: NodeId, { ballot, chosenUpTo }: Phase2a): void {
  heardFrom(turn, leader, ballot);
  followChosen(turn, leader, ballot, chosenUpTo);
}

/**
 * This node learned what a higher ballot chose without ever having promised that ballot, and a lower one proposes
 * something else: late, and from a leader that was replaced. Told so, it steps down (see `learn`).
 */
function tellReplaced(turn: Turn, leader: NodeId, slot: Slot, value: Value): void {
  const { chosenUpTo } = turn.state;
  turn.sendTo(leader, { kind: "learnReply", slots: [{ slot, value }], chosenUpTo });
}

function acceptedBallot(entry: Entry): Ballot {
  return entry.kind === "chosen" ? entry.acceptedUnder : entry.ballot;
}

function accept(turn: Turn, from: NodeId, { ballot, slot, value }: Phase2a): void {
  const known = turn.state.log.get(slot);
  const before = known === undefined ? ZERO_BALLOT : acceptedBallot(known);
  if (known !== undefined && before === ballot) {
    assert(sameValue(known.value, value), "P1: one ballot proposes one value in a slot");
  } else {
    assert(before < ballot, "A3: accepted ballots never decrease");
    turn.persist({ kind: "accepted", ballot, slot, value });
    const entry: Entry =
      known?.kind === "chosen"
        ? { ...known, acceptedUnder: ballot }
        : { kind: "accepted", ballot, value };
    turn.change({ log: turn.state.log.set(slot, entry), promised: ballot });
  }
  turn.releaseTo(from, { kind: "phase2b", ballot, slot });
}
