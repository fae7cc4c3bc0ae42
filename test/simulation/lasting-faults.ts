/**
 * The liveness mode: when all other faults have ended, a quorum is kept that can talk to each other and to everybody else,
 * and every node outside of it stays broken in a way of its own. The quorum must come to rest all the same.
 *
 *   down        its process does not run
 *   frozen      its process stands still, its connections stay open
 *   deaf        it hears no other coordinator, and is heard
 *   mute        it is heard by no other coordinator, and hears
 *   cut         neither, while participants and clients reach it
 *   alone       neither, and participants do not reach it either
 *   estranged   it and one other cannot hear each other: then either may lead, and whoever hears the leader must come to rest
 */
import { majority } from "../../coordinator/paxos/recover.ts";
import type { LastingFault } from "./knobs.ts";
import { between, bothWays, type Wall } from "./partitions.ts";
import type { CoordinatorHost } from "./world/coordinator-host.ts";
import type { SeededRandom } from "./world/seeded-random.ts";

interface Broken {
  readonly host: CoordinatorHost;
  readonly how: LastingFault;
  readonly walls: readonly Wall[];
}

export interface LastingFaults {
  readonly broken: readonly Broken[];
  /** The nodes that must come to rest; undefined when that depends on who leads. */
  readonly kept: readonly CoordinatorHost[] | undefined;
}

export function drawLastingFaults(
  random: SeededRandom,
  kinds: readonly LastingFault[],
  coordinators: readonly CoordinatorHost[],
  shards: readonly string[],
): LastingFaults {
  const left = [...coordinators];
  const victims = kinds.slice(0, coordinators.length - majority(coordinators.length)).map((how) => {
    const host = random.pick(left);
    left.splice(left.indexOf(host), 1);
    return { host, how };
  });
  const broken = victims.map(({ host, how }): Broken => {
    const others = coordinators.filter((other) => other !== host).map(({ machine }) => machine);
    return { host, how, walls: wallsAround(random, how, host.machine, others, shards) };
  });
  return { broken, kept: kinds.includes("estranged") ? undefined : left };
}

function wallsAround(
  random: SeededRandom,
  how: LastingFault,
  machine: string,
  others: readonly string[],
  shards: readonly string[],
): readonly Wall[] {
  switch (how) {
    case "down":
    case "frozen":
      return [];
    case "deaf":
      return between(others, [machine]);
    case "mute":
      return between([machine], others);
    case "cut":
      return bothWays([machine], others);
    case "alone":
      return bothWays([machine], [...others, ...shards]);
    case "estranged":
      return bothWays([machine], [random.pick(others)]);
  }
}
