/** A member stands still with its connections open, and goes on at the heal as if no time had passed. */
import type { Nemesis } from "../nemesis.ts";
import type { Victim } from "./victims.ts";

export function freeze(role: string, pick: Victim): Nemesis {
  return {
    name: `freeze of ${role}`,
    needsNetworks: false,
    inject: async (cluster) => {
      const victim = await pick(cluster);
      await victim.freeze();
      return {
        victim: victim.name,
        kills: 0,
        heal: async () => {
          await victim.thaw();
          await cluster.awaitShards();
        },
      };
    },
  };
}
