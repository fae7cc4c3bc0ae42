/** Every nemesis that there is, and which of them a cluster can have. */
import type { Backend } from "../cluster.ts";
import { canHaveDisks } from "../disk.ts";
import type { Need, Nemesis } from "../nemesis.ts";
import { tell } from "../telling.ts";
import { freeze, stutter } from "./freeze.ts";
import { kill, killTogether } from "./kill.ts";
import { clockJumps, diskFull } from "./machine.ts";
import {
  delay,
  disconnect,
  leaderCutFromClients,
  leaderCutFromParticipants,
  majorityRing,
  minorityCutOff,
  oneWayLoss,
} from "./network.ts";
import { immediateRestart, replacedParticipant, rollingRestart } from "./restarts.ts";
import { follower, leader, participant, postgres } from "./victims.ts";

const VICTIMS = [leader, follower, participant, postgres];

export const NEMESES: readonly Nemesis[] = [
  ...VICTIMS.map(kill),
  killTogether,
  ...VICTIMS.map(freeze),
  stutter(leader),
  immediateRestart,
  rollingRestart,
  diskFull,
  clockJumps,
  replacedParticipant,
  ...[leader, follower, participant].map(disconnect),
  minorityCutOff,
  leaderCutFromParticipants,
  leaderCutFromClients,
  majorityRing,
  oneWayLoss(leader, 1),
  oneWayLoss(participant, 0.3),
  delay(tell),
];

/** What a cluster of this backend lacks for it, in words; undefined when nothing. */
export function missingFor({ needs }: Nemesis, backend: Backend): string | undefined {
  const missing = needs.filter((need) => !has(backend, need));
  return missing.length === 0 ? undefined : missing.map((need) => WORDS[need]).join(", ");
}

const WORDS: Readonly<Record<Need, string>> = {
  networks: "members with networks of their own",
  containers: "members that can be made anew",
  disk: "root, to give a coordinator a small disk",
};

function has(backend: Backend, need: Need): boolean {
  switch (need) {
    case "networks":
    case "containers":
      return backend === "containers";
    case "disk":
      return canHaveDisks();
  }
}
