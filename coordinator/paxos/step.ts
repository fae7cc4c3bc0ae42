/**
 * The consensus core as one function: state and input in, new state and wanted effects out. Same state and input, same
 * result. SPEC.md beside this file lists the invariants and what enforces each.
 */
import { assert, unreachable } from "../../shared/model/assert.ts";
import type { NodeId } from "../../shared/model/ids.ts";
import { onPhase1a, onPhase2a } from "./acceptor.ts";
import { lostLeader, onNack } from "./ballots.ts";
import {
  campaign,
  onPhase1b,
  onProbe,
  onProbeReply,
  repeatPhase1a,
  repeatProbe,
  startProbe,
} from "./candidate.ts";
import { assertLocalInvariants } from "./invariants.ts";
import {
  beatNow,
  leaderTick,
  onHeartbeat,
  onHeartbeatReply,
  onPhase2b,
  propose,
} from "./leader.ts";
import { onLearnReply, onLearnRequest, retryCatchUp } from "./learner.ts";
import type { PaxosMessage } from "./message.ts";
import { onSnapshotOffer, onSnapshotSaved } from "./snapshot.ts";
import type { PaxosInput, PaxosState, Stepped } from "./state.ts";
import { Turn } from "./turn.ts";

export function step(state: PaxosState, input: PaxosInput): Stepped {
  const turn = new Turn(state);
  switch (input.kind) {
    case "tick":
      onTick(turn, input);
      break;
    case "message":
      onMessage(turn, input.from, input.message);
      break;
    case "propose":
      propose(turn, input.value);
      break;
    case "beat":
      beatNow(turn);
      break;
    case "peerLost":
      lostLeader(turn, input.node);
      break;
    case "campaign":
      campaign(turn);
      break;
    case "snapshotSaved":
      onSnapshotSaved(turn, input);
      break;
    default:
      unreachable(input);
  }
  const output = turn.output();
  assertLocalInvariants(state, turn.state);
  return { state: turn.state, output };
}

function onTick(turn: Turn, tick: Extract<PaxosInput, { kind: "tick" }>): void {
  const isFirst = turn.state.electionDeadlineMs === 0;
  assert(tick.nowMs >= turn.state.nowMs, "time never goes back");
  turn.change({ nowMs: tick.nowMs });
  if (isFirst) {
    const patienceMs = turn.state.config.electionTimeoutMs * (1 + tick.jitter / 1000);
    turn.change({ patienceMs, electionDeadlineMs: tick.nowMs + patienceMs });
  }
  retryCatchUp(turn);
  const canWrite = tick.logStalledMs < turn.state.config.electionTimeoutMs;
  const { role } = turn.state;
  if (role.kind === "leader") {
    leaderTick(turn, role, tick.logStalledMs);
    const hasSteppedDown = turn.state.role.kind === "follower";
    if (hasSteppedDown && canWrite) startProbe(turn, tick.jitter);
    return;
  }
  if (!canWrite) return;
  if (tick.nowMs >= turn.state.electionDeadlineMs) startProbe(turn, tick.jitter);
  else if (role.kind === "candidate") repeatPhase1a(turn, role);
  else if (role.kind === "prober") repeatProbe(turn, role);
}

function onMessage(turn: Turn, from: NodeId, message: PaxosMessage): void {
  if (!turn.state.config.members.includes(from)) return;
  switch (message.kind) {
    case "probe":
      onProbe(turn, from, message);
      return;
    case "probeReply":
      onProbeReply(turn, from, message);
      return;
    case "phase1a":
      onPhase1a(turn, from, message);
      return;
    case "phase1b":
      onPhase1b(turn, from, message);
      return;
    case "phase2a":
      onPhase2a(turn, from, message);
      return;
    case "phase2b":
      onPhase2b(turn, from, message);
      return;
    case "nack":
      onNack(turn, from, message);
      return;
    case "heartbeat":
      onHeartbeat(turn, from, message);
      return;
    case "heartbeatReply":
      onHeartbeatReply(turn, from, message);
      return;
    case "learnRequest":
      onLearnRequest(turn, from, message);
      return;
    case "learnReply":
      onLearnReply(turn, from, message);
      return;
    case "snapshotOffer":
      onSnapshotOffer(turn, from, message);
      return;
    default:
      unreachable(message);
  }
}
