/**
 * The leader: proposes, counts, tells. A vote counts only for exactly this ballot and slot, from a set of node ids, and
 * the leader's own vote arrives like any other: as a message to itself, released when its log write is durable (P7).
 *
 * Window: at most `windowSlots` slots beyond the last contiguous chosen one. Slots found by phase 1 go first; a
 * client's value is proposed only above all of them.
 */
import { assert } from "../../shared/model/assert.ts";
import type { Ballot, NodeId, Slot } from "../../shared/model/ids.ts";
import { nextSlot } from "../../shared/model/ids.ts";
import { onPhase2a } from "./acceptor.ts";
import { admits, followsLiveLeader, heardFrom, hearsQuorum, yieldTo } from "./ballots.ts";
import { followChosen } from "./learner.ts";
import type { PaxosMessage, Value } from "./message.ts";
import { NO_OP } from "./message.ts";
import type { Candidate, Leader, PaxosState } from "./state.ts";
import type { Turn } from "./turn.ts";

type Phase2b = Extract<PaxosMessage, { kind: "phase2b" }>;
type Heartbeat = Extract<PaxosMessage, { kind: "heartbeat" }>;
type HeartbeatReply = Extract<PaxosMessage, { kind: "heartbeatReply" }>;

/** P2: called with a complete quorum of promises for the candidate's ballot, and only then. */
export function lead(turn: Turn, { ballot, recovered }: Candidate): void {
  const { chosenUpTo, log, config, nowMs } = turn.state;
  let recoverUpTo = log.highest;
  for (const slot of recovered.keys()) if (slot > recoverUpTo) recoverUpTo = slot;
  turn.become({
    kind: "leader",
    ballot,
    recovered,
    recoverUpTo,
    nextSlot: nextSlot(chosenUpTo),
    inFlight: new Map(),
    beat: 0,
    beatAtMs: nowMs,
    heardAtMs: new Map(config.members.map((node) => [node, nowMs])),
    refusedBy: [],
  });
  pump(turn);
  beat(turn);
}

/** The role, while this node leads. Each turn may have ended it. */
function leading(turn: Turn): Leader | undefined {
  return turn.state.role.kind === "leader" ? turn.state.role : undefined;
}

function hasRoom(state: PaxosState, role: Leader): boolean {
  return role.nextSlot <= state.chosenUpTo + state.config.windowSlots;
}

/** Whether a client's value may be proposed now. */
export function canPropose(state: PaxosState): boolean {
  const { role } = state;
  return role.kind === "leader" && role.nextSlot > role.recoverUpTo && hasRoom(state, role);
}

export function propose(turn: Turn, value: Value): void {
  assert(canPropose(turn.state), "P5: a value is proposed only where canPropose");
  const role = leading(turn);
  if (role !== undefined) proposeAt(turn, role, role.nextSlot, value);
}

/** Proposes what phase 1 found, as far as the window allows. P4: what was learned meanwhile may be gone from the log already. */
function pump(turn: Turn): void {
  for (;;) {
    const role = leading(turn);
    if (role === undefined || role.nextSlot > role.recoverUpTo || !hasRoom(turn.state, role))
      return;
    const { chosenUpTo, log } = turn.state;
    const slot = role.nextSlot;
    if (slot <= chosenUpTo || log.get(slot)?.kind === "chosen") {
      turn.become({ ...role, nextSlot: nextSlot(slot > chosenUpTo ? slot : chosenUpTo) });
      continue;
    }
    proposeAt(turn, role, slot, role.recovered.get(slot)?.value ?? NO_OP);
  }
}

function proposeAt(turn: Turn, role: Leader, slot: Slot, value: Value): void {
  const { config, nowMs, chosenUpTo, log } = turn.state;
  const isChosen = slot <= chosenUpTo || log.get(slot)?.kind === "chosen";
  assert(!isChosen, "P4: nothing is proposed in a chosen slot");
  const inFlight = new Map(role.inFlight);
  inFlight.set(slot, { value, voters: [], sentAtMs: nowMs });
  turn.become({ ...role, nextSlot: nextSlot(slot), inFlight });
  const message = { kind: "phase2a", ballot: role.ballot, slot, value, chosenUpTo } as const;
  turn.sendToOthers(message);
  onPhase2a(turn, config.self, message);
}

export function onPhase2b(turn: Turn, from: NodeId, message: Phase2b): void {
  const role = leading(turn);
  if (role === undefined || role.ballot !== message.ballot) return;
  noteAlive(turn, role, from);
  const pending = role.inFlight.get(message.slot);
  if (pending === undefined || pending.voters.includes(from)) return;
  const voters = [...pending.voters, from];
  const inFlight = new Map(role.inFlight);
  const current = leading(turn) ?? role;
  if (voters.length < turn.state.config.phase2Quorum) {
    inFlight.set(message.slot, { ...pending, voters });
    turn.become({ ...current, inFlight });
    return;
  }
  inFlight.delete(message.slot);
  turn.become({ ...current, inFlight });
  turn.markChosen(message.slot, pending.value);
  pump(turn);
}

function noteAlive(turn: Turn, role: Leader, from: NodeId): void {
  const heardAtMs = new Map(role.heardAtMs).set(from, turn.state.nowMs);
  turn.become({ ...role, heardAtMs });
}

/** L11: who cannot write cannot vote, so the answer waits for the disk like a vote. To follow does not need it. */
export function onHeartbeat(turn: Turn, from: NodeId, message: Heartbeat): void {
  const { ballot, beat, chosenUpTo } = message;
  if (admits(turn, from, ballot)) {
    yieldTo(turn, ballot);
    turn.releaseTo(from, { kind: "heartbeatReply", ballot, beat });
  } else if (!mayFollow(turn.state, ballot)) return;
  heardFrom(turn, from, ballot);
  followChosen(turn, from, ballot, chosenUpTo);
}

/**
 * Having promised more than the leader's ballot, a node votes for nothing under it, but follows it and learns, unless it
 * knows a higher leader. Its vote comes back with the next ballot.
 */
function mayFollow(state: PaxosState, ballot: Ballot): boolean {
  const { role, heardLeader } = state;
  if (role.kind === "leader" || role.kind === "candidate") return false;
  return !followsLiveLeader(state) || (heardLeader !== undefined && heardLeader.ballot <= ballot);
}

export function onHeartbeatReply(turn: Turn, from: NodeId, message: HeartbeatReply): void {
  const role = leading(turn);
  if (role?.ballot === message.ballot) noteAlive(turn, role, from);
}

function beat(turn: Turn): void {
  const role = leading(turn);
  if (role !== undefined) sendBeat(turn, { ...role, beatAtMs: turn.state.nowMs });
}

/** One more than the interval brings, which it does not put off: proposals are sent again with those. */
export function beatNow(turn: Turn): void {
  const role = leading(turn);
  if (role !== undefined) sendBeat(turn, role);
}

function sendBeat(turn: Turn, role: Leader): void {
  const next = role.beat + 1;
  turn.become({ ...role, beat: next });
  const { chosenUpTo } = turn.state;
  turn.sendToOthers({ kind: "heartbeat", ballot: role.ballot, beat: next, chosenUpTo });
}

export function leaderTick(turn: Turn, role: Leader, logStalledMs: number): void {
  const { config, nowMs } = turn.state;
  if (logStalledMs >= config.electionTimeoutMs || !hearsQuorum(turn.state, role)) {
    turn.follow();
    return;
  }
  pump(turn);
  if (nowMs - role.beatAtMs < config.heartbeatIntervalMs) return;
  sendAgain(turn);
  beat(turn);
}

/** Proposals older than a heartbeat go once more to those who have not voted. */
function sendAgain(turn: Turn): void {
  const role = leading(turn);
  if (role === undefined) return;
  const { config, nowMs, chosenUpTo } = turn.state;
  const inFlight = new Map(role.inFlight);
  for (const [slot, pending] of role.inFlight) {
    if (nowMs - pending.sentAtMs < config.heartbeatIntervalMs) continue;
    inFlight.set(slot, { ...pending, sentAtMs: nowMs });
    const { value } = pending;
    const message = { kind: "phase2a", ballot: role.ballot, slot, value, chosenUpTo } as const;
    for (const node of config.members) {
      if (node !== config.self && !pending.voters.includes(node)) turn.sendTo(node, message);
    }
  }
  turn.become({ ...role, inFlight });
}
