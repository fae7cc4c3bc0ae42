/** Lives of processes that may end at any operation on a simulated disk. */
import { LogFailure } from "../../coordinator/log/log-store.ts";
import type { SimulatedDisk } from "./simulated-disk.ts";
import { everythingSurvives, nothingSurvives, type Survival } from "./simulated-medium.ts";

/** Mulberry32: small, seeded, good enough to choose faults. */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let value = Math.imul(state ^ (state >>> 15), 1 | state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A life that may end at any point, by the disk's doing. */
export async function untilEnd(
  disk: SimulatedDisk,
  life: Promise<void>,
): Promise<"closed" | "ended"> {
  const closed = life.then(
    () => "closed" as const,
    (error: unknown) => {
      // An ended process may still throw; a log that failed by an injected fault ends its process.
      if (disk.hasEnded || error instanceof LogFailure || isInjected(error))
        return "ended" as const;
      throw error;
    },
  );
  return Promise.race([closed, disk.whenEnded.then(() => "ended" as const)]);
}

const isInjected = (error: unknown): boolean => String(error).includes("EIO");

export const SURVIVALS: Readonly<Record<string, () => Survival>> = {
  "nothing unsynced survives": () => nothingSurvives,
  "everything unsynced survives": () => everythingSurvives,
  "every other part survives": () => {
    let count = 0;
    return () => (count += 1) % 2 === 0;
  },
};
