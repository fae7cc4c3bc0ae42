/** Starts a run on the backend that was asked for; which one it is, is said loudly. */
import { resolve } from "node:path";
import type { Backend, Cluster } from "./cluster.ts";
import { startContainers } from "./containers.ts";
import { findEngine } from "./engine.ts";
import { startProcesses } from "./local-processes.ts";
import { Run } from "./run.ts";
import { tell } from "./telling.ts";

/** For the report, and the traces of a run in which something was wrong. */
export function newRunDirectory(backend: Backend): string {
  const parent = process.env["SYNOD_CHAOS_REPORTS"] ?? resolve(".synod", "chaos");
  return resolve(parent, `${new Date().toISOString().replace(/\D/g, "")}-${backend}`);
}

export async function startRun(backend: Backend, directory: string): Promise<Run> {
  const cluster = await startCluster(backend);
  tell(`${backend}: ${cluster.description}`);
  try {
    return await Run.open(cluster, directory);
  } catch (error) {
    await cluster.remove();
    throw error;
  }
}

async function startCluster(backend: Backend): Promise<Cluster> {
  if (backend === "processes") return startProcesses();
  await findEngine().catch((error: unknown) => {
    tell(
      "NO DOCKER ENGINE: NOTHING WAS TESTED IN CONTAINERS (SYNOD_TEST_BACKEND=processes: without)",
    );
    throw error;
  });
  return startContainers();
}
