/**
 * How much a node holds for certain: a promise and the highest slot. What it has acknowledged to others is a lower bound of
 * that for ever, so a node that comes back with less has lost what it had voted for.
 *
 * Three messages tell it: a phase1a and a phase1b say "promised, durably" (a candidate promises its own ballot before it
 * asks), a phase2b "promised and accepted, durably". A log that lost its end is recognised by either number, unless what was
 * lost had raised neither.
 */
import type { Ballot, Slot } from "../../shared/model/ids.ts";
import { roundOf, ownerOf, ZERO_BALLOT, ZERO_SLOT } from "../../shared/model/ids.ts";
import type { PeerMessage } from "../paxos/message.ts";
import type { PaxosState } from "../paxos/state.ts";

export interface Position {
  readonly promised: Ballot;
  readonly slot: Slot;
}

export const NOWHERE: Position = { promised: ZERO_BALLOT, slot: ZERO_SLOT };

/** What a node holds that has just recovered. */
export function positionOf({ promised, log, chosenUpTo }: PaxosState): Position {
  return { promised, slot: larger(log.highest, chosenUpTo) };
}

/** `position` and what this message acknowledges. The same object when that is nothing new. */
export function afterMessage(position: Position, message: PeerMessage): Position {
  const { kind } = message;
  if (kind !== "phase1a" && kind !== "phase1b" && kind !== "phase2b") return position;
  const slot = kind === "phase2b" ? message.slot : ZERO_SLOT;
  return together(position, { promised: message.ballot, slot });
}

/** Both are held. */
export function together(one: Position, other: Position): Position {
  const promised = larger(one.promised, other.promised);
  const slot = larger(one.slot, other.slot);
  return promised === one.promised && slot === one.slot ? one : { promised, slot };
}

export function isBehind(holds: Position, acknowledged: Position): boolean {
  return holds.promised < acknowledged.promised || holds.slot < acknowledged.slot;
}

export function describePosition({ promised, slot }: Position): string {
  const ballot = promised === ZERO_BALLOT ? "0" : `${roundOf(promised)}.${ownerOf(promised) ?? 0}`;
  return `slot ${slot}, ballot ${ballot}`;
}

function larger<Count extends number>(left: Count, right: Count): Count {
  return left > right ? left : right;
}
