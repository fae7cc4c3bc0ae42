/**
 * What a ballot in a message does to the one who reads it, whatever the message is about; and whom this node follows.
 *
 * A node stays with a leader while it hears it: it neither grants a probe nor promises another's ballot. So whoever has the
 * answers of a quorum is deposed by nobody, and needs no vote of a node that promised something higher meanwhile.
 */
import type { Ballot, NodeId } from "../../shared/model/ids.ts";
import type { PaxosMessage } from "./message.ts";
import type { Leader, PaxosState } from "./state.ts";
import type { Turn } from "./turn.ts";

type Nack = Extract<PaxosMessage, { kind: "nack" }>;

/** A leader that has sent no other has led for less than a heartbeat interval. */
const FIRST_BEAT = 1;

/** True when the ballot is one this node still follows; otherwise the sender is told what was promised. */
export function admits(turn: Turn, from: NodeId, ballot: Ballot): boolean {
  turn.sawBallot(ballot);
  const { promised } = turn.state;
  if (ballot >= promised) return true;
  turn.sendTo(from, { kind: "nack", ballot, promised });
  return false;
}

/** A higher ballot ends whatever this node was leading, campaigning or asking for (E3). */
export function yieldTo(turn: Turn, ballot: Ballot): void {
  const { role, promised } = turn.state;
  const own = role.kind === "leader" || role.kind === "candidate" ? role.ballot : promised;
  if (own < ballot) turn.follow();
}

/** Remembers that a leader lives, and waits anew. */
export function heardFrom(turn: Turn, node: NodeId, ballot: Ballot): void {
  const { nowMs, config, role } = turn.state;
  if (node === config.self) return;
  if (role.kind === "prober") turn.follow();
  turn.change({ heardLeader: { node, ballot, atMs: nowMs } });
  turn.waitAnew();
}

/** Whether a quorum answered this leader within the election timeout. */
export function hearsQuorum({ config, nowMs }: PaxosState, { heardAtMs }: Leader): boolean {
  const alive = config.members.filter(
    (node) => node === config.self || nowMs - (heardAtMs.get(node) ?? 0) < config.electionTimeoutMs,
  );
  return alive.length >= config.phase2Quorum;
}

/** Whether a live leader was heard, or is this node itself. */
export function followsLiveLeader(state: PaxosState): boolean {
  const { role, heardLeader, nowMs, config } = state;
  if (role.kind === "leader") return hearsQuorum(state, role);
  return heardLeader !== undefined && nowMs - heardLeader.atMs < config.electionTimeoutMs;
}

/**
 * A campaign that began before its grants were overtaken by the news of a leader ends here. Not to promise is always
 * safe; and a leader that campaigns anew no longer leads.
 */
export function staysWithLeader(turn: Turn, from: NodeId, ballot: Ballot): boolean {
  const { promised, heardLeader } = turn.state;
  const isNew = ballot > promised && heardLeader?.node !== from;
  if (!isNew || !followsLiveLeader(turn.state)) return false;
  turn.sendTo(from, { kind: "nack", ballot, promised });
  return true;
}

/** A strong hint that the leader is gone: stop trusting it, and ask around within two heartbeats. */
export function lostLeader(turn: Turn, node: NodeId): void {
  const { heardLeader, nowMs, config, electionDeadlineMs, patienceMs } = turn.state;
  if (heardLeader?.node !== node) return;
  const spread = patienceMs / config.electionTimeoutMs - 1;
  const soonMs = nowMs + config.heartbeatIntervalMs * 2 * spread;
  turn.change({
    heardLeader: undefined,
    electionDeadlineMs: Math.min(electionDeadlineMs, soonMs),
  });
}

/**
 * One node that promised a higher ballot ends nothing; as many as leave no quorum do. Only a leader that has just begun
 * asks anew for everyone's vote: so soon after an election somebody who campaigned too is the rule, and nothing is under way.
 */
export function onNack(turn: Turn, from: NodeId, { ballot, promised }: Nack): void {
  turn.sawBallot(promised);
  const { role, config } = turn.state;
  if (role.kind !== "leader" && role.kind !== "candidate") return;
  if (role.ballot !== ballot || role.refusedBy.includes(from)) return;
  if (role.kind === "leader" && role.beat === FIRST_BEAT && promised > ballot) {
    turn.follow();
    turn.change({ electionDeadlineMs: turn.state.nowMs });
    return;
  }
  const refusedBy = [...role.refusedBy, from];
  const quorum = role.kind === "leader" ? config.phase2Quorum : config.phase1Quorum;
  if (config.members.length - refusedBy.length < quorum) turn.follow();
  else turn.become({ ...role, refusedBy });
}
