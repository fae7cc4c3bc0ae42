/**
 * The consensus core as one function: state and input in, new state and wanted effects out. Same state and input, same
 * result. SPEC.md beside this file lists the invariants and what enforces each.
 */
import { assert, unreachable } from "../../shared/model/assert.ts";
import type { NodeId } from "../../shared/model/ids.ts";
import { onPhase1a, onPhase2a } from "./acceptor.ts";
import {
  campaign,
  onPhase1b,
  onProbe,
  onProbeReply,
  repeatPhase1a,
  startProbe,
} from "./candidate.ts";
import { assertLocalInvariants } from "./invariants.ts";
import { leaderTick, onHeartbeat, onHeartbeatReply, onPhase2b, propose } from "./leader.ts";
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
    case "peerLost":
      onPeerLost(turn, input.node);
      break;
    case "campaign":
      campaign(turn);
      break;
    case "snapshotSaved":
      onSnapshotSaved(turn, input.slot, input.origin);
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
  const { role, electionDeadlineMs, config } = turn.state;
  if (role.kind === "leader") {
    leaderTick(turn, role, tick.logStalledMs);
    return;
  }
  if (role.kind === "candidate") repeatPhase1a(turn, role);
  const canWrite = tick.logStalledMs < config.electionTimeoutMs;
  if (tick.nowMs >= electionDeadlineMs && canWrite) startProbe(turn, tick.jitter);
}

/** A broken connection is a strong hint: stop trusting that leader and ask around within two heartbeats. */
function onPeerLost(turn: Turn, node: NodeId): void {
  const { heardLeader, nowMs, config, electionDeadlineMs, patienceMs } = turn.state;
  if (heardLeader?.node !== node) return;
  const spread = patienceMs / config.electionTimeoutMs - 1;
  const soonMs = nowMs + config.heartbeatIntervalMs * 2 * spread;
  turn.change({
    heardLeader: undefined,
    electionDeadlineMs: Math.min(electionDeadlineMs, soonMs),
  });
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
      onNack(turn, message.promised);
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

function onNack(turn: Turn, promised: PaxosState["promised"]): void {
  turn.sawBallot(promised);
  const { role } = turn.state;
  const lost = (role.kind === "leader" || role.kind === "candidate") && role.ballot < promised;
  if (lost) turn.follow();
}
