/** Which coordinator leads, and which shards are reached, as the coordinators themselves say. */
import { setTimeout } from "node:timers/promises";
import axios from "axios";
import { z } from "zod";
import type { Ask } from "./ask.ts";
import type { NodeProcess } from "./node-process.ts";

const PROBE_INTERVAL_MS = 25;
const SHARDS_DEADLINE_MS = 30_000;
const ClusterAnswer = z.object({
  leader: z.number().nullable(),
  shards: z.array(z.object({ reachable: z.boolean() })),
});

/** The running node that most running nodes name as their leader. */
export async function findLeader<
  T extends Pick<NodeProcess, "url" | "isRunning"> & { readonly id: number },
>(nodes: readonly T[], ask: Ask): Promise<T | undefined> {
  const running = nodes.filter((node) => node.isRunning());
  const named = await Promise.all(running.map((node) => leaderNamedBy(node.url, ask)));
  const majority = Math.floor(nodes.length / 2) + 1;
  return running.find((node) => named.filter((id) => id === node.id).length >= majority);
}

async function leaderNamedBy(url: string, ask: Ask): Promise<number | undefined> {
  return (await clusterAsSeenBy(url, ask))?.leader ?? undefined;
}

/** Resolves when every node has a connection to every shard; throws when that takes too long. */
export async function awaitShards(
  nodes: readonly Pick<NodeProcess, "url">[],
  ask: Ask,
  deadlineMs = SHARDS_DEADLINE_MS,
): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    const seen = await Promise.all(nodes.map(({ url }) => clusterAsSeenBy(url, ask)));
    if (seen.every((view) => view?.shards.every(({ reachable }) => reachable) === true)) return;
    if (performance.now() > deadline) {
      throw new Error(`not every shard is reachable: ${JSON.stringify(seen)}`);
    }
    await setTimeout(PROBE_INTERVAL_MS);
  }
}

async function clusterAsSeenBy(
  url: string,
  ask: Ask,
): Promise<z.infer<typeof ClusterAnswer> | undefined> {
  try {
    const { status, data } = await ask(`${url}/v1/cluster`);
    return status === 200 ? ClusterAnswer.parse(data) : undefined;
  } catch (error) {
    // A node that is paused, starting or ending tells nothing; an answer of another shape is a defect.
    if (axios.isAxiosError(error)) return undefined;
    throw error;
  }
}
