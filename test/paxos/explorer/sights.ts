/** Situations by name, so that a check can show that it met them. */
import { nextSlot, ownerOf } from "../../../shared/model/ids.ts";
import type { DurableRecord } from "../../../coordinator/paxos/record.ts";
import type { PaxosInput, PaxosState, PaxosOutput } from "../../../coordinator/paxos/state.ts";
import type { Sight } from "./scope.ts";

/** Of one step of the core. */
export function sightsOf(
  before: PaxosState,
  after: PaxosState,
  input: PaxosInput,
  output: PaxosOutput,
): readonly Sight[] {
  const sights: Sight[] = [...proposalSights(after, output.records)];
  const chosenAhead = [...after.log.from(nextSlot(nextSlot(after.chosenUpTo)))];
  if (chosenAhead.some(([, entry]) => entry.kind === "chosen")) {
    sights.push("a slot is chosen before an earlier one");
  }
  if (after.log.truncatedUpTo > before.log.truncatedUpTo) {
    const isOwn = output.restore === undefined;
    sights.push(isOwn ? "a log is truncated below a snapshot" : "a peer's snapshot is installed");
  }
  switch (input.kind) {
    case "message":
      sights.push(...messageSights(before, after, input.message, output));
      break;
    case "tick":
      if (wasDeposed(before, after)) sights.push("a leader hears no quorum and steps down");
      if (output.send.some(({ message }) => message.kind === "learnRequest")) {
        sights.push("a node asks another peer for what it lacks");
      }
      break;
    case "snapshotSaved":
      if (output.records.length === 0) sights.push("a snapshot comes too late and is ignored");
      break;
    case "propose":
    case "beat":
    case "peerLost":
    case "campaign":
      break;
  }
  return sights;
}

function wasDeposed(before: PaxosState, after: PaxosState): boolean {
  return before.role.kind === "leader" && after.role.kind !== "leader";
}

type Message = Extract<PaxosInput, { kind: "message" }>["message"];

function messageSights(
  before: PaxosState,
  after: PaxosState,
  message: Message,
  output: PaxosOutput,
): readonly Sight[] {
  const says = [...output.send, ...output.release].map((envelope) => envelope.message);
  const offers = says.some(({ kind }) => kind === "snapshotOffer");
  const sights: Sight[] = [
    ...electionSights(before, after, message),
    ...learningSights(before, after, message),
  ];
  if (offers) sights.push("a snapshot is offered");
  if (message.kind === "phase2a" && message.ballot >= before.promised) {
    const isFarAhead = message.slot > after.chosenUpTo + after.config.acceptAheadSlots;
    const isVoted = says.some(({ kind }) => kind === "phase2b");
    if (isFarAhead && !isVoted) sights.push("a proposal far ahead gets no vote");
  }
  if (message.kind === "probe") {
    const isGranted = says.some((said) => said.kind === "probeReply" && said.granted);
    sights.push(isGranted ? "a probe is granted" : "a probe is refused for a living leader");
  }
  return sights;
}

function electionSights(
  before: PaxosState,
  after: PaxosState,
  { kind }: Message,
): readonly Sight[] {
  const follows = after.role.kind === "follower";
  if (kind === "nack" && wasDeposed(before, after)) return ["a leader is preempted by a nack"];
  if (kind === "heartbeat" && before.role.kind === "prober" && follows) {
    return ["a prober hears a leader and follows"];
  }
  if (kind !== "phase1b") return [];
  if (before.role.kind === "candidate" && follows) {
    return ["a candidate meets a truncation above what it knows and gives up"];
  }
  const isProbed = after.role.kind === "leader" && after.probeAttempt > 0;
  return isProbed ? ["a leader is elected by way of probes"] : [];
}

function learningSights(
  before: PaxosState,
  after: PaxosState,
  { kind }: Message,
): readonly Sight[] {
  const isDeposed = wasDeposed(before, after);
  const hasAdvanced = after.chosenUpTo > before.chosenUpTo;
  if (kind === "heartbeat" && hasAdvanced) return ["a follower takes its leader's word"];
  if (kind === "snapshotOffer" && isDeposed) {
    return ["a leader is offered a snapshot and steps down"];
  }
  if (kind !== "learnReply") return [];
  const sights: Sight[] = ["a chosen slot is learned from a peer"];
  if (isDeposed) sights.push("a leader learns that it was replaced");
  if (hasAdvanced && before.catchUp !== undefined) sights.push("a chosen slot arrives on a page");
  return sights;
}

function proposalSights(
  { role, config }: PaxosState,
  records: readonly DurableRecord[],
): readonly Sight[] {
  if (role.kind !== "leader") return [];
  const sights: Sight[] = [];
  for (const record of records) {
    if (record.kind !== "accepted" || ownerOf(record.ballot) !== config.self) continue;
    if (record.value.length === 0) sights.push("a no-op fills a hole");
    else if (role.recovered.has(record.slot)) {
      sights.push("a value of an older ballot is proposed again");
    }
  }
  return sights;
}
