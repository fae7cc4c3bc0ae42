/** Members go down and come back at once: one Postgres without a shutdown checkpoint, or every member in turn. */
import type { Nemesis } from "../nemesis.ts";
import { postgres } from "./victims.ts";

const NOTHING_TO_HEAL = (): Promise<void> => Promise.resolve();

export const immediateRestart: Nemesis = {
  name: "immediate restart of Postgres",
  needsNetworks: false,
  inject: async (cluster) => {
    const victim = await postgres(cluster);
    await victim.crash("SIGQUIT");
    await victim.restart();
    return { victim: victim.name, kills: 1, heal: NOTHING_TO_HEAL };
  },
};

/** Politely, one after the other; each is ready before the next goes. */
export const rollingRestart: Nemesis = {
  name: "rolling restart",
  needsNetworks: false,
  inject: async (cluster) => {
    for (const node of [...cluster.coordinators, ...cluster.participants]) await node.restart();
    return { victim: "coordinators and participants", kills: 0, heal: NOTHING_TO_HEAL };
  },
};
