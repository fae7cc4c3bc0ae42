/** The backend of local processes: `demo/local-cluster.ts`, seen as a `Cluster`. Its members share one network. */
import { mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NodeProcess } from "../../demo/cluster/node-process.ts";
import type { ShardServer } from "../../demo/cluster/shard.ts";
import { createAsk } from "../../demo/cluster/ask.ts";
import { awaitShards } from "../../demo/cluster/leader.ts";
import {
  type LocalCluster,
  removeClusterDirectory,
  startLocalCluster,
} from "../../demo/local-cluster.ts";
import { awaitLeader } from "../../demo/transfers/leader-kill.ts";
import { eventually } from "../support/wait.ts";
import type { Cluster, Coordinator, Member } from "./cluster.ts";

const END_DEADLINE_MS = 30_000;
const LEADER_DEADLINE_MS = 60_000;

export async function startProcesses(): Promise<Cluster> {
  const directory = mkdtempSync(join(tmpdir(), "synod-chaos-"));
  const local = await startLocalCluster({ directory });
  const coordinators = local.coordinators.map((node): Coordinator => ({
    ...memberOf(local, node),
    id: node.id,
    url: node.url,
  }));
  return {
    backend: "processes",
    description: `programs in dist/, data and logs in ${directory}`,
    coordinators,
    participants: local.participants.map((node) => memberOf(local, node)),
    databases: local.participants.map(({ shard, postgres }) => ({
      ...memberOf(local, postgres),
      shard,
      url: postgres.url,
    })),
    leader: async () => {
      const { id } = await awaitLeader(local, LEADER_DEADLINE_MS);
      const leader = coordinators.find((node) => node.id === id);
      if (leader === undefined) throw new Error(`no coordinator ${id}`);
      return leader;
    },
    awaitShards: () => awaitShards(local.coordinators, createAsk({})),
    remove: async () => {
      await local.stop();
      removeClusterDirectory(directory);
    },
  };
}

function memberOf(local: LocalCluster, target: NodeProcess | ShardServer): Member {
  return {
    name: target.name,
    isRunning: () => target.isRunning(),
    crash: async (signal) => {
      await local.kill(target, signal);
      const ended = (): boolean => !target.isRunning();
      await eventually(`${target.name} has ended`, ended, END_DEADLINE_MS);
    },
    restart: () => local.restart(target),
    freeze: () => {
      signalTree(target.pid, "SIGSTOP");
      return Promise.resolve();
    },
    thaw: () => {
      signalTree(target.pid, "SIGCONT");
      return Promise.resolve();
    },
    network: undefined,
  };
}

/** The parent first: what is stopped makes no more children. */
function signalTree(pid: number, signal: "SIGSTOP" | "SIGCONT"): void {
  process.kill(pid, signal);
  for (const child of childrenOf(pid)) {
    try {
      signalTree(child, signal);
    } catch (error) {
      // A backend that ended by itself just now.
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }
}

function childrenOf(pid: number): readonly number[] {
  const threads = `/proc/${pid}/task`;
  return readdirSync(threads).flatMap((thread) =>
    readFileSync(join(threads, thread, "children"), "utf8")
      .split(" ")
      .filter(Boolean)
      .map(Number),
  );
}
