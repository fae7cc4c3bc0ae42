/**
 * What a ballot in a message does to the one who reads it, whatever the message is about.
 */
import type { Ballot, NodeId } from "../../shared/model/ids.ts";
import type { Turn } from "./turn.ts";

/** True when the ballot is one this node still follows; otherwise the sender is told what was promised. */
export function admits(turn: Turn, from: NodeId, ballot: Ballot): boolean {
  turn.sawBallot(ballot);
  const { promised } = turn.state;
  if (ballot >= promised) return true;
  turn.sendTo(from, { kind: "nack", ballot, promised });
  return false;
}

/** A higher ballot ends whatever this node was leading or campaigning for (E3). */
export function yieldTo(turn: Turn, ballot: Ballot): void {
  const { role } = turn.state;
  if ((role.kind === "leader" || role.kind === "candidate") && role.ballot < ballot) turn.follow();
}

/** Remembers that a leader lives, and waits anew. */
export function heardFrom(turn: Turn, node: NodeId, ballot: Ballot): void {
  const { nowMs, config, role } = turn.state;
  if (node === config.self) return;
  if (role.kind === "prober") turn.follow();
  turn.change({ heardLeader: { node, ballot, atMs: nowMs } });
  turn.waitAnew();
}
