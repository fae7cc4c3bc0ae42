/** Members go down and come back at once: one Postgres without a shutdown checkpoint, every member in turn, one made anew. */
import type { Nemesis } from "../nemesis.ts";
import { participant, postgres } from "./victims.ts";

export const immediateRestart: Nemesis = {
  name: "immediate restart of Postgres",
  needs: [],
  kills: true,
  inject: async (cluster) => {
    const victim = await postgres.pick(cluster);
    await victim.crash("SIGQUIT");
    await victim.restart();
    return { victim: victim.name, kills: ["postgres"], heal: () => cluster.awaitWhole() };
  },
};

/** Politely, one after the other; each is ready before the next goes. */
export const rollingRestart: Nemesis = {
  name: "rolling restart of everything",
  needs: [],
  kills: false,
  inject: async (cluster) => {
    const { coordinators, participants, databases } = cluster;
    for (const member of [...coordinators, ...participants, ...databases]) await member.restart();
    return { victim: "every member", kills: [], heal: () => cluster.awaitWhole() };
  },
};

export const replacedParticipant: Nemesis = {
  name: "a participant replaced by a new container",
  needs: ["containers"],
  kills: true,
  inject: async (cluster) => {
    const victim = await participant.pick(cluster);
    if (victim.replace === undefined) throw new Error(`${victim.name} cannot be made anew`);
    await victim.replace();
    return { victim: victim.name, kills: ["participant"], heal: () => cluster.awaitWhole() };
  },
};
