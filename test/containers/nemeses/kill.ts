/** A member is killed, and started again at the heal. */
import type { Nemesis } from "../nemesis.ts";
import type { Victim } from "./victims.ts";

export function kill(role: string, pick: Victim): Nemesis {
  return {
    name: `SIGKILL of ${role}`,
    needsNetworks: false,
    inject: async (cluster) => {
      const victim = await pick(cluster);
      await victim.crash("SIGKILL");
      return { victim: victim.name, kills: 1, heal: () => victim.restart() };
    },
  };
}
