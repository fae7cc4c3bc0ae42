/**
 * Becoming leader: first ask whether anyone would follow, again and again until a quorum would or a leader is heard (a
 * probe raises no ballot, so a node that merely cannot hear the leader disturbs nobody), then phase 1 over the whole range of slots that are not yet chosen here.
 *
 * A promise arrives in pages and counts when its last page is in. Slots that an acceptor knows to be chosen are learned
 * on the spot; of the others the value with the highest ballot is proposed again, and a hole gets a no-op.
 *
 * An acceptor reports nothing of what it has truncated, and nothing reported is not nothing accepted: a candidate that does
 * not know those slots itself gives up and catches up first.
 */
import { ballot, nextSlot, roundOf } from "../../shared/model/ids.ts";
import type { NodeId, Slot } from "../../shared/model/ids.ts";
import { followsLiveLeader, lostLeader } from "./ballots.ts";
import { lead } from "./leader.ts";
import { learn, wantUpTo } from "./learner.ts";
import type { PaxosMessage } from "./message.ts";
import type { Candidate, Prober, Recovered } from "./state.ts";
import type { Turn } from "./turn.ts";

type Probe = Extract<PaxosMessage, { kind: "probe" }>;
type ProbeReply = Extract<PaxosMessage, { kind: "probeReply" }>;
type Phase1b = Extract<PaxosMessage, { kind: "phase1b" }>;

/** Starts a new attempt to lead. `jitter` in [0, 1000) decides how long this one may take. */
export function startProbe(turn: Turn, jitter: number): void {
  const { config, nowMs } = turn.state;
  const attempt = turn.state.probeAttempt + 1;
  const patienceMs = config.electionTimeoutMs * (1 + jitter / 1000);
  turn.change({
    probeAttempt: attempt,
    patienceMs,
    electionDeadlineMs: nowMs + patienceMs,
    role: { kind: "prober", attempt, grants: [config.self], askedAtMs: nowMs },
  });
  turn.sendToOthers({ kind: "probe", attempt });
  campaignIfGranted(turn);
}

/** Whoever refused may have lost its leader since. */
export function repeatProbe(turn: Turn, role: Prober): void {
  const { config, nowMs } = turn.state;
  if (nowMs - role.askedAtMs < config.heartbeatIntervalMs) return;
  turn.become({ ...role, askedAtMs: nowMs });
  turn.sendToOthers({ kind: "probe", attempt: role.attempt });
}

/** A leader that asks leads no more. L11: a grant waits for the disk, as the promise would that it stands for. */
export function onProbe(turn: Turn, from: NodeId, { attempt }: Probe): void {
  lostLeader(turn, from);
  const granted = !followsLiveLeader(turn.state);
  const reply = { kind: "probeReply", attempt, granted, promised: turn.state.highestSeen } as const;
  if (granted) turn.releaseTo(from, reply);
  else turn.sendTo(from, reply);
}

export function onProbeReply(turn: Turn, from: NodeId, message: ProbeReply): void {
  turn.sawBallot(message.promised);
  const { role } = turn.state;
  if (role.kind !== "prober" || role.attempt !== message.attempt) return;
  const others = role.grants.filter((node) => node !== from);
  turn.become({ ...role, grants: message.granted ? [...others, from] : others });
  campaignIfGranted(turn);
}

function campaignIfGranted(turn: Turn): void {
  const { role, config } = turn.state;
  if (role.kind === "prober" && role.grants.length >= config.phase1Quorum) campaign(turn);
}

/** Phase 1 under a ballot never used before: above everything seen, and durable before anyone hears of it (E2). */
export function campaign(turn: Turn): void {
  const { config, highestSeen, nowMs } = turn.state;
  const mine = ballot(roundOf(highestSeen) + 1, config.self);
  const fromSlot = nextSlot(turn.state.chosenUpTo);
  turn.sawBallot(mine);
  turn.change({
    promised: mine,
    heardLeader: undefined,
    role: {
      kind: "candidate",
      ballot: mine,
      fromSlot,
      progress: new Map(),
      recovered: new Map(),
      refusedBy: [],
      askedAtMs: nowMs,
    },
  });
  turn.waitAnew();
  turn.persist({ kind: "promised", ballot: mine });
  for (const node of config.members) {
    turn.releaseTo(node, { kind: "phase1a", ballot: mine, fromSlot });
  }
}

/** Asks again those whose promise is not complete: the question or the answer may be lost. */
export function repeatPhase1a(turn: Turn, role: Candidate): void {
  const { config, nowMs } = turn.state;
  if (nowMs - role.askedAtMs < config.heartbeatIntervalMs) return;
  turn.become({ ...role, askedAtMs: nowMs });
  for (const node of config.members) {
    const next = role.progress.get(node);
    if (next === null) continue;
    const fromSlot = next ?? role.fromSlot;
    turn.releaseTo(node, { kind: "phase1a", ballot: role.ballot, fromSlot });
  }
}

export function onPhase1b(turn: Turn, from: NodeId, message: Phase1b): void {
  const { role } = turn.state;
  if (role.kind !== "candidate" || role.ballot !== message.ballot) return;
  const expected = role.progress.has(from) ? role.progress.get(from) : role.fromSlot;
  if (expected !== message.fromSlot) return;
  if (message.truncatedUpTo > turn.state.chosenUpTo) {
    turn.follow();
    wantUpTo(turn, from, message.truncatedUpTo);
    return;
  }
  const next: Candidate = {
    ...role,
    progress: new Map(role.progress).set(from, message.nextSlot),
    recovered: withReported(role.recovered, message),
    refusedBy: role.refusedBy.filter((node) => node !== from),
  };
  turn.become(next);
  for (const reported of message.slots) {
    if (reported.kind === "chosen") learn(turn, reported.slot, reported.value);
  }
  if (message.nextSlot !== null) {
    const { ballot: mine } = role;
    turn.sendTo(from, { kind: "phase1a", ballot: mine, fromSlot: message.nextSlot });
    return;
  }
  const complete = [...next.progress.values()].filter((slot) => slot === null).length;
  if (complete >= turn.state.config.phase1Quorum) lead(turn, next);
}

/** P3: per slot the value of the highest ballot. */
function withReported(
  known: ReadonlyMap<Slot, Recovered>,
  { slots }: Phase1b,
): ReadonlyMap<Slot, Recovered> {
  const recovered = new Map(known);
  for (const reported of slots) {
    if (reported.kind === "chosen") continue;
    const best = recovered.get(reported.slot);
    if (best === undefined || reported.ballot > best.ballot) {
      recovered.set(reported.slot, { ballot: reported.ballot, value: reported.value });
    }
  }
  return recovered;
}
