/** What happens to the cluster meanwhile: its leader dies every few seconds, and participants stand still for a moment. */
import { setTimeout } from "node:timers/promises";
import type { LocalCluster } from "../../demo/local-cluster.ts";

export interface Disturbances {
  readonly leadersKilled: number;
  readonly participantsPaused: number;
}

const KILL_INTERVAL_MS = 4_000;
const DOWN_MS = 1_000;
const PAUSE_INTERVAL_MS = 1_500;
const PAUSE_MS = 300;

/** Resolves when everything runs again. */
export async function disturb(cluster: LocalCluster, untilMs: number): Promise<Disturbances> {
  const [leadersKilled, participantsPaused] = await Promise.all([
    repeat(KILL_INTERVAL_MS, untilMs, () => killLeader(cluster)),
    repeat(PAUSE_INTERVAL_MS, untilMs, (turn) => pauseParticipant(cluster, turn)),
  ]);
  return { leadersKilled, participantsPaused };
}

async function repeat(
  intervalMs: number,
  untilMs: number,
  act: (turn: number) => Promise<boolean>,
): Promise<number> {
  let done = 0;
  for (let turn = 0; performance.now() + intervalMs < untilMs; turn += 1) {
    await setTimeout(intervalMs);
    if (await act(turn)) done += 1;
  }
  return done;
}

async function killLeader(cluster: LocalCluster): Promise<boolean> {
  const leader = await cluster.leader();
  if (leader === undefined) return false;
  await cluster.kill(leader, "SIGKILL");
  await setTimeout(DOWN_MS);
  await cluster.restart(leader);
  return true;
}

async function pauseParticipant(cluster: LocalCluster, turn: number): Promise<boolean> {
  const participant = cluster.participants[turn % cluster.participants.length];
  if (participant === undefined) return false;
  await cluster.kill(participant, "SIGSTOP");
  await setTimeout(PAUSE_MS);
  await cluster.kill(participant, "SIGCONT");
  return true;
}
