/** A member is killed, and started again at the heal. */
import type { Nemesis } from "../nemesis.ts";
import type { Victim } from "./victims.ts";

export function kill({ role, called, pick }: Victim): Nemesis {
  return {
    name: `SIGKILL of ${called}`,
    needs: [],
    inject: async (cluster) => {
      const victim = await pick(cluster);
      await victim.crash("SIGKILL");
      return {
        victim: victim.name,
        kills: [role],
        heal: async () => {
          await victim.restart();
          await cluster.awaitWhole();
        },
      };
    },
  };
}
