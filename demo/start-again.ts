/**
 * Starts again what was killed of a local cluster, when this program gets SIGUSR2. A signal, because a program in the background
 * must not read the terminal.
 */
import type { LocalCluster } from "./local-cluster.ts";

/** Windows knows no such signal. */
export const CAN_START_AGAIN = process.platform !== "win32";

export function startAgainOnSignal(cluster: LocalCluster): void {
  if (!CAN_START_AGAIN) return;
  let last = Promise.resolve();
  process.on("SIGUSR2", () => {
    last = last
      .then(() => startAgain(cluster))
      .catch((error: unknown) => {
        console.error(error instanceof Error ? error.message : error);
      });
  });
}

/** Databases first, and participants before coordinators: each finds what it needs. */
async function startAgain(cluster: LocalCluster): Promise<void> {
  const { coordinators, participants } = cluster;
  const all = [...participants.map(({ postgres }) => postgres), ...participants, ...coordinators];
  const ended = all.filter((target) => !target.isRunning());
  if (ended.length === 0) console.log("everything runs");
  for (const target of ended) {
    await cluster.restart(target);
    console.log(`${target.name} runs again   pid ${target.pid}`);
  }
}
