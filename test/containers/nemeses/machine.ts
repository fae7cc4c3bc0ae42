/** Faults of what a coordinator stands on: its disk is full, its wall clock is wrong. */
import { setTimeout } from "node:timers/promises";
import axios from "axios";
import type { Nemesis } from "../nemesis.ts";

const NOTICE_DEADLINE_MS = 15_000;
const NOTICE_INTERVAL_MS = 100;
const FORWARD_MS = 3_600_000;
const BACK_MS = -1_800_000;
const PROBE_TIMEOUT_MS = 2_000;
const BETWEEN_MS = 2_000;

async function endsSoon(url: string): Promise<boolean> {
  const deadline = performance.now() + NOTICE_DEADLINE_MS;
  while (performance.now() < deadline) {
    if (await isGone(url)) return true;
    await setTimeout(NOTICE_INTERVAL_MS);
  }
  return false;
}

async function isGone(url: string): Promise<boolean> {
  try {
    await axios.get(`${url}/livez`, { proxy: false, timeout: PROBE_TIMEOUT_MS });
    return false;
  } catch (error) {
    if (!axios.isAxiosError(error)) throw error;
    return error.code === "ECONNREFUSED" || error.code === "ECONNRESET";
  }
}

/**
 * The node ends by itself when it notices. What it had allocated before may last for longer than we wait: then it is killed while its
 * disk is full. At the heal there is room again, and it is started again.
 */
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
        if (!(await endsSoon(victim.url))) await victim.crash("SIGKILL");
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
