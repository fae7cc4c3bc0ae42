/** The accident of the demo: the leader is killed at half time and started again at three quarters. */
import { setTimeout } from "node:timers/promises";
import type { ClusterNode } from "../cluster/members.ts";
import type { LocalCluster } from "../local-cluster.ts";

export interface RunEvent {
  readonly atSeconds: number;
  readonly what: string;
}

const LEADER_DEADLINE_MS = 10_000;
const LEADER_INTERVAL_MS = 20;

/** Resolves when the killed node is ready again. `tell` is called for each step. */
export async function killLeaderHalfway(
  cluster: LocalCluster,
  durationMs: number,
  tell: (event: RunEvent) => void,
): Promise<void> {
  const startedAtMs = performance.now();
  const note = (what: string): void => {
    tell({ atSeconds: (performance.now() - startedAtMs) / 1_000, what });
  };
  await setTimeout(durationMs / 2);
  const killed = await awaitLeader(cluster);
  await cluster.kill(killed, "SIGKILL");
  note(`leader ${killed.name} killed with SIGKILL`);
  if (cluster.coordinators.length > 2) {
    note(`${(await awaitLeader(cluster)).name} leads`);
  }
  await setTimeout(Math.max(0, startedAtMs + 0.75 * durationMs - performance.now()));
  await cluster.restart(killed);
  note(`${killed.name} is back`);
}

/** Who leads now, or as soon as somebody does. */
export async function awaitLeader(
  cluster: LocalCluster,
  deadlineMs = LEADER_DEADLINE_MS,
): Promise<ClusterNode> {
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    const leader = await cluster.leader();
    if (leader !== undefined) return leader;
    if (performance.now() > deadline) {
      throw new Error(`no coordinator was leader for ${deadlineMs} ms`);
    }
    await setTimeout(LEADER_INTERVAL_MS);
  }
}
