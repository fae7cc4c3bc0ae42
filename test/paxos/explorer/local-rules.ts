/**
 * What one step of one node must keep, seen from outside: A4, E2 (nothing promised or accepted leaves before it is durable),
 * A7 (no vote far ahead), and that a probe raises no ballot.
 */
import type { PaxosInput, PaxosOutput, PaxosState } from "../../../coordinator/paxos/state.ts";

const AFTER_DURABLE: readonly string[] = ["phase1b", "phase2b", "snapshotOffer"];

export function breach(
  before: PaxosState,
  after: PaxosState,
  input: PaxosInput,
  output: PaxosOutput,
): string | undefined {
  const applied = output.restore ?? before.chosenUpTo;
  if (output.apply.some(({ slot }, index) => slot !== applied + 1 + index)) {
    return "breaks S1: slots are applied in order";
  }
  const early = output.send.find(({ message }) => AFTER_DURABLE.includes(message.kind));
  if (early !== undefined)
    return `breaks A4: a ${early.message.kind} leaves before its record is durable`;
  const isAsked = output.send.some(
    ({ message }) => message.kind === "phase1a" && before.role.kind !== "candidate",
  );
  if (isAsked) return "breaks E2: phase 1 leaves before the own promise is durable";
  const bound = after.chosenUpTo + after.config.acceptAheadSlots;
  const isFarAhead = output.release.some(
    ({ message }) => message.kind === "phase2b" && message.slot > bound,
  );
  if (isFarAhead) return "breaks A7: a vote lies far beyond what is known to be chosen";
  return input.kind === "message" ? probeBreach(before, after, input.message, output) : undefined;
}

function probeBreach(
  before: PaxosState,
  after: PaxosState,
  message: Extract<PaxosInput, { kind: "message" }>["message"],
  output: PaxosOutput,
): string | undefined {
  if (message.kind === "probe") {
    const isTouched =
      output.records.length > 0 ||
      after.highestSeen !== before.highestSeen ||
      after.role !== before.role;
    return isTouched ? "is moved by a probe" : undefined;
  }
  if (message.kind !== "probeReply" || after.promised === before.promised) return undefined;
  const granted = before.role.kind === "prober" ? before.role.grants.length + 1 : 0;
  const isElected = message.granted && granted >= before.config.phase1Quorum;
  return isElected ? undefined : "raises its ballot without a quorum of grants";
}
