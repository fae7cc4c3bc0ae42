/** Faults of one member's network: cut off in both directions, or deaf in one. */
import type { Member, MemberNetwork } from "../cluster.ts";
import type { Nemesis } from "../nemesis.ts";
import type { Victim } from "./victims.ts";

export function disconnect(role: string, pick: Victim): Nemesis {
  return {
    name: `network disconnect of ${role}`,
    needsNetworks: true,
    inject: async (cluster) => {
      const victim = await pick(cluster);
      const network = networkOf(victim);
      await network.disconnect();
      return {
        victim: victim.name,
        kills: 0,
        heal: async () => {
          await network.connect();
          await cluster.awaitShards();
        },
      };
    },
  };
}

/** `share` of what arrives is lost, from 0 to 1; at 1 the member speaks and does not hear. */
export function oneWayLoss(role: string, pick: Victim, share: number): Nemesis {
  return {
    name: `loss of ${share * 100} % of what arrives at ${role}`,
    needsNetworks: true,
    inject: async (cluster) => {
      const victim = await pick(cluster);
      const network = networkOf(victim);
      await network.loseIncoming(share);
      return {
        victim: victim.name,
        kills: 0,
        heal: async () => {
          await network.loseIncoming(0);
          await cluster.awaitShards();
        },
      };
    },
  };
}

function networkOf({ name, network }: Member): MemberNetwork {
  if (network === undefined) throw new Error(`${name} has no network of its own`);
  return network;
}
