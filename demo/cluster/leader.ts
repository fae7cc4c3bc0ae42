/** Which coordinator leads, as the coordinators themselves say. */
import axios from "axios";
import { z } from "zod";
import type { NodeProcess } from "./node-process.ts";

const PROBE_TIMEOUT_MS = 2_000;
const ClusterAnswer = z.object({ leader: z.number().nullable() });

/** The running node that most running nodes name as their leader. */
export async function findLeader<T extends NodeProcess & { readonly id: number }>(
  nodes: readonly T[],
): Promise<T | undefined> {
  const running = nodes.filter((node) => node.isRunning());
  const named = await Promise.all(running.map((node) => leaderNamedBy(node.url)));
  const majority = Math.floor(nodes.length / 2) + 1;
  return running.find((node) => named.filter((id) => id === node.id).length >= majority);
}

async function leaderNamedBy(url: string): Promise<number | undefined> {
  try {
    const response = await axios.get<unknown>(`${url}/v1/cluster`, {
      timeout: PROBE_TIMEOUT_MS,
      proxy: false,
      maxRedirects: 0,
    });
    return ClusterAnswer.parse(response.data).leader ?? undefined;
  } catch (error) {
    // A node that is paused, starting or ending names nobody; an answer of another shape is a defect.
    if (axios.isAxiosError(error)) return undefined;
    throw error;
  }
}
