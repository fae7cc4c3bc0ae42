/** Faults of what a coordinator stands on: its disk is full, its wall clock is wrong. */
import { setTimeout } from "node:timers/promises";
import axios from "axios";
import { eventually } from "../../support/wait.ts";
import type { Nemesis } from "../nemesis.ts";

/** Something is written every few seconds, also where nothing happens. */
const NOTICE_DEADLINE_MS = 120_000;
const FORWARD_MS = 3_600_000;
const BACK_MS = -1_800_000;
const PROBE_TIMEOUT_MS = 2_000;
const BETWEEN_MS = 2_000;

async function isGone(url: string): Promise<boolean> {
  try {
    await axios.get(`${url}/livez`, { proxy: false, timeout: PROBE_TIMEOUT_MS });
    return false;
  } catch (error) {
    if (!axios.isAxiosError(error)) throw error;
    return error.code === "ECONNREFUSED" || error.code === "ECONNRESET";
  }
}

/** The node ends by itself when it notices; at the heal there is room again, and it is started again. */
export const diskFull: Nemesis = {
  name: "disk full on a coordinator",
  needs: ["disk"],
  kills: false,
  inject: async (cluster) => {
    const victim = cluster.coordinators.find(({ disk }) => disk !== undefined);
    if (victim?.disk === undefined) throw new Error("no coordinator has a disk that can be filled");
    const { disk } = victim;
    await disk.fill();
    return {
      victim: victim.name,
      kills: [],
      heal: async () => {
        await eventually(`${victim.name} ends`, () => isGone(victim.url), NOTICE_DEADLINE_MS);
        await disk.free();
        await victim.restart();
        await cluster.awaitWhole();
      },
    };
  },
};

/** An hour ahead, then half an hour behind, then right. */
export const clockJumps: Nemesis = {
  name: "clock jumps of the leader",
  needs: [],
  kills: false,
  inject: async (cluster) => {
    const victim = await cluster.leader();
    await victim.shiftClock(FORWARD_MS);
    await setTimeout(BETWEEN_MS);
    await victim.shiftClock(BACK_MS);
    return {
      victim: victim.name,
      kills: [],
      heal: async () => {
        await victim.shiftClock(0);
        await cluster.awaitWhole();
      },
    };
  },
};
