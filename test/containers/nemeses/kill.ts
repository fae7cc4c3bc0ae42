/** Members are killed, and started again at the heal. */
import type { Nemesis } from "../nemesis.ts";
import { leader, participant, postgres, type Victim } from "./victims.ts";

export function kill({ role, called, pick }: Victim): Nemesis {
  return {
    name: `SIGKILL of ${called}`,
    needs: [],
    kills: true,
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

/** All at one moment: what the one would have finished, the others cannot. */
export const killTogether: Nemesis = {
  name: "SIGKILL of the leader, a participant and a Postgres at once",
  needs: [],
  kills: true,
  inject: async (cluster) => {
    const roles = [leader, participant, postgres];
    const victims = await Promise.all(roles.map(({ pick }) => pick(cluster)));
    await Promise.all(victims.map((victim) => victim.crash("SIGKILL")));
    return {
      victim: victims.map(({ name }) => name).join(", "),
      kills: roles.map(({ role }) => role),
      heal: async () => {
        await Promise.all(victims.map((victim) => victim.restart()));
        await cluster.awaitWhole();
      },
    };
  },
};
