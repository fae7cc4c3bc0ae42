/**
 * Invariants that one node can check on its own, after each step, in production too: A1, A6, C3, E1, E2, P5 of SPEC.md.
 * They look at a handful of numbers, never at the whole log.
 */
import { assert } from "../../shared/model/assert.ts";
import { ownerOf } from "../../shared/model/ids.ts";
import type { PaxosState } from "./state.ts";

export function assertLocalInvariants(before: PaxosState, after: PaxosState): void {
  assert(after.promised >= before.promised, "A1: the promised ballot never decreases");
  assert(
    after.highestSeen >= after.promised,
    "E1: no promise lies above every ballot seen, so a new ballot lies above it",
  );
  assert(after.chosenUpTo >= before.chosenUpTo, "C3: chosenUpTo never decreases");
  assert(after.hintedUpTo <= after.chosenUpTo, "C3: the durable hint never leads");
  assert(
    after.log.truncatedUpTo <= after.snapshotSlot && after.snapshotSlot <= after.chosenUpTo,
    "A6: what is gone from the log is in a snapshot, and a snapshot holds only what is chosen",
  );
  assert(
    after.snapshotSlot >= before.snapshotSlot &&
      after.log.truncatedUpTo >= before.log.truncatedUpTo,
    "A6: a snapshot only gives way to a newer one",
  );
  const { role, config } = after;
  if (role.kind !== "leader" && role.kind !== "candidate") return;
  assert(ownerOf(role.ballot) === config.self, "E1: a node leads only under its own ballots");
  assert(
    after.promised === role.ballot,
    "E2: a leader has promised its own ballot and none higher",
  );
  if (role.kind !== "leader") return;
  assert(
    role.nextSlot <= after.chosenUpTo + config.windowSlots + 1,
    "P5: the window of unchosen slots is bounded",
  );
  assert(role.inFlight.size <= config.windowSlots, "P5: the window of unchosen slots is bounded");
}
