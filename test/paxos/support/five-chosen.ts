/** Nodes 1 and 2 of three have chosen five slots under node 1, and know it; node 3 has heard nothing. */
import { slot } from "../../../shared/model/ids.ts";
import type { PaxosMessage } from "../../../coordinator/paxos/message.ts";
import type { PaxosConfig } from "../../../coordinator/paxos/state.ts";
import { between, Group } from "./group.ts";

export function fiveChosen(overrides: Partial<PaxosConfig> = {}): Group {
  const group = new Group(3, { windowSlots: 8, ...overrides });
  group.campaign(1);
  group.deliver(between(1, 2));
  group.propose(1, "one", "two", "three", "four", "five");
  group.deliver(between(1, 2));
  group.run(10, between(1, 2));
  group.drop();
  return group;
}

export const offer = (at: number, chosenUpTo = at): PaxosMessage => ({
  kind: "snapshotOffer",
  slot: slot(at),
  chosenUpTo: slot(chosenUpTo),
});
