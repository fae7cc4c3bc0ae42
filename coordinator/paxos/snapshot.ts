/**
 * Snapshots, as far as the core is concerned: when a peer's is wanted, what a saved one allows to forget, and that it is
 * noted. Their bytes are the shell's.
 *
 * An own snapshot changes nothing but what the log still holds. A peer's takes the place of everything up to its slot, whatever
 * the log held there: an accepted value below may be another than the one that was chosen.
 */
import type { NodeId, Slot } from "../../shared/model/ids.ts";
import { goOnCatchingUp, wantUpTo } from "./learner.ts";
import type { PaxosMessage } from "./message.ts";
import type { PaxosInput, PaxosState } from "./state.ts";
import type { Turn } from "./turn.ts";

type SnapshotOffer = Extract<PaxosMessage, { kind: "snapshotOffer" }>;
type SnapshotSaved = Extract<PaxosInput, { kind: "snapshotSaved" }>;

/**
 * A leader that somebody is so far ahead of was replaced, or is at least not the one to go on. As a leader it must not take the
 * snapshot: it would then call slots chosen under its ballot in which followers hold what it proposed in vain (C5).
 */
export function onSnapshotOffer(
  turn: Turn,
  from: NodeId,
  { slot, chosenUpTo }: SnapshotOffer,
): void {
  if (slot <= turn.state.chosenUpTo) return;
  if (turn.state.role.kind === "leader") turn.follow();
  turn.fetch(from, slot);
  wantUpTo(turn, from, slot > chosenUpTo ? slot : chosenUpTo);
}

export function onSnapshotSaved(turn: Turn, saved: SnapshotSaved): void {
  if (saved.origin === "own") noteOwn(turn, saved);
  else install(turn, saved);
}

/** One that a peer's has overtaken meanwhile is of no use any more. */
function noteOwn(turn: Turn, { slot, keepAfter = slot }: SnapshotSaved): void {
  const { state } = turn;
  if (slot <= state.snapshotSlot) return;
  const { truncatedUpTo } = state.log;
  const allowed = keepAfter > truncatedUpTo ? keepAfter : truncatedUpTo;
  const below = truncationBelow(state, slot);
  note(turn, slot, below < allowed ? below : allowed);
}

/** So far that no more than the trailing part is left below the snapshot; never further back than before. */
function truncationBelow({ log, config }: PaxosState, snapshotSlot: Slot): Slot {
  let [slots, bytes] = [0, 0];
  for (let slot = snapshotSlot; slot > log.truncatedUpTo; slot = (slot - 1) as Slot) {
    slots += 1;
    bytes += log.get(slot)?.value.length ?? 0;
    if (slots > config.trailingSlots || bytes > config.trailingBytes) return slot;
  }
  return log.truncatedUpTo;
}

/** S3: the node may have caught up by itself while the snapshot was on its way; then it is ignored. */
function install(turn: Turn, { slot, peer }: SnapshotSaved): void {
  if (slot <= turn.state.chosenUpTo) return;
  if (turn.state.role.kind === "leader") turn.follow();
  turn.restore(slot);
  note(turn, slot, slot);
  const { catchUp } = turn.state;
  if (catchUp !== undefined) goOnCatchingUp(turn, peer ?? catchUp.peer, slot);
}

function note(turn: Turn, slot: Slot, truncatedUpTo: Slot): void {
  const { log, promised } = turn.state;
  // Earlier hints go with what the log drops; a later one follows at once.
  turn.change({ log: log.truncate(truncatedUpTo), snapshotSlot: slot, hintedUpTo: slot });
  turn.persist({ kind: "snapshot", slot, truncatedUpTo, promised });
}
