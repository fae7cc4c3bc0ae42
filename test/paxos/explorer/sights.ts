/** Situations by name, so that a check can show that it met them. */
import { nextSlot, ownerOf } from "../../../shared/model/ids.ts";
import type { DurableRecord } from "../../../coordinator/paxos/record.ts";
import type { PaxosInput, PaxosState } from "../../../coordinator/paxos/state.ts";
import type { Sight } from "./scope.ts";

export function sightsOf(
  before: PaxosState,
  after: PaxosState,
  input: PaxosInput,
  records: readonly DurableRecord[],
): readonly Sight[] {
  const sights = proposalSights(after, records);
  const chosenAhead = [...after.log.from(nextSlot(nextSlot(after.chosenUpTo)))];
  if (chosenAhead.some(([, entry]) => entry.kind === "chosen")) {
    sights.push("a slot is chosen before an earlier one");
  }
  if (input.kind !== "message") return sights;
  const { kind } = input.message;
  const isDeposed = before.role.kind === "leader" && after.role.kind === "follower";
  const hasAdvanced = after.chosenUpTo > before.chosenUpTo;
  if (kind === "nack" && isDeposed) sights.push("a leader is preempted by a nack");
  if (kind === "learnReply") sights.push("a chosen slot is learned from a peer");
  if (kind === "learnReply" && isDeposed) sights.push("a leader learns that it was replaced");
  if (kind === "heartbeat" && hasAdvanced) sights.push("a follower takes its leader's word");
  return sights;
}

function proposalSights({ role, config }: PaxosState, records: readonly DurableRecord[]): Sight[] {
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
