/** A member stands still with its connections open, and goes on at the heal as if no time had passed; or again and again, shortly. */
import { setTimeout } from "node:timers/promises";
import type { Nemesis } from "../nemesis.ts";
import type { Victim } from "./victims.ts";

const STILL_MS = 250;
const GOING_MS = 250;

export function freeze({ called, pick }: Victim): Nemesis {
  return {
    name: `freeze of ${called}`,
    needs: [],
    kills: false,
    inject: async (cluster) => {
      const victim = await pick(cluster);
      await victim.freeze();
      return {
        victim: victim.name,
        kills: [],
        heal: async () => {
          await victim.thaw();
          await cluster.awaitWhole();
        },
      };
    },
  };
}

/** Slow beyond any queue: nobody can tell it from a delayed network. */
export function stutter({ called, pick }: Victim): Nemesis {
  return {
    name: `stutter of ${called}`,
    needs: [],
    kills: false,
    inject: async (cluster) => {
      const victim = await pick(cluster);
      const end = new AbortController();
      const stuttering = (async () => {
        while (!end.signal.aborted) {
          await victim.freeze();
          await setTimeout(STILL_MS);
          await victim.thaw();
          await setTimeout(GOING_MS);
        }
      })();
      return {
        victim: victim.name,
        kills: [],
        heal: async () => {
          end.abort();
          await stuttering;
          await cluster.awaitWhole();
        },
      };
    },
  };
}
