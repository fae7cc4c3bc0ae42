/** The backend of local processes: `demo/local-cluster.ts`, seen as a `Cluster`. Its members share one network. */
import { mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { cp, mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { createAsk } from "../../demo/cluster/ask.ts";
import { awaitShards } from "../../demo/cluster/leader.ts";
import type { NodeProcess } from "../../demo/cluster/node-process.ts";
import type { ShardServer } from "../../demo/cluster/shard.ts";
import {
  type LocalCluster,
  removeClusterDirectory,
  startLocalCluster,
} from "../../demo/local-cluster.ts";
import { awaitLeader } from "../../demo/transfers/leader-kill.ts";
import { eventually } from "../support/wait.ts";
import { clockEnvironment, makeClocks } from "./clock/clocks.ts";
import type { Cluster, Coordinator, Member } from "./cluster.ts";
import { canHaveDisks, mountDisk, unmountDisk } from "./disk.ts";

const END_DEADLINE_MS = 30_000;
const LEADER_DEADLINE_MS = 120_000;
const SHARDS_DEADLINE_MS = 120_000;
/** Its disk is small, where we may make one. */
const NODE_WITH_DISK = 3;

export async function startProcesses(): Promise<Cluster> {
  const directory = mkdtempSync(join(tmpdir(), "synod-chaos-"));
  const diskDirectory = join(directory, `coordinator-${NODE_WITH_DISK}`);
  const disk = canHaveDisks() ? await mountDisk(diskDirectory, 0) : undefined;
  const clockDirectory = join(directory, "clock");
  const clocks = await makeClocks(clockDirectory);
  const local = await startLocalCluster({
    directory,
    env: clockEnvironment(clockDirectory),
  }).catch(async (error: unknown) => {
    if (disk !== undefined) await unmountDisk(diskDirectory);
    throw error;
  });
  const coordinators = local.coordinators.map((node): Coordinator => ({
    ...memberOf(local, node),
    ...{ id: node.id, url: node.url },
    copyData: (into) => cp(node.dataDir, into, { recursive: true }),
    disk: node.id === NODE_WITH_DISK ? disk : undefined,
    shiftClock: (byMs) => clocks.shift(node.id, byMs),
  }));
  const coordinator = (id: number): Coordinator => {
    const found = coordinators.find((node) => node.id === id);
    if (found === undefined) throw new Error(`no coordinator ${id}`);
    return found;
  };
  const leader = async (): Promise<Coordinator> =>
    coordinator((await awaitLeader(local, LEADER_DEADLINE_MS)).id);
  return {
    ...{ backend: "processes", clusterId: local.clusterId, coordinators, leader },
    description: `programs in dist/, data and logs in ${directory}`,
    participants: local.participants.map((node) => memberOf(local, node)),
    databases: local.participants.map(({ shard, postgres }) => ({
      ...memberOf(local, postgres),
      ...{ shard, url: postgres.url },
    })),
    leaderNow: async () => {
      const found = await local.leader();
      return found === undefined ? undefined : coordinator(found.id);
    },
    awaitWhole: async () => {
      await leader();
      await awaitShards(local.coordinators, createAsk({}), SHARDS_DEADLINE_MS);
    },
    keepTraces: (into) => keepTraces(local, into),
    remove: async () => {
      await local.stop();
      if (disk !== undefined) await unmountDisk(diskDirectory);
      removeClusterDirectory(directory);
    },
  };
}

async function keepTraces(local: LocalCluster, into: string): Promise<void> {
  await mkdir(into, { recursive: true });
  const servers = local.participants.map(({ postgres }) => postgres);
  for (const { logFile } of [...local.coordinators, ...local.participants]) {
    await cp(logFile, join(into, basename(logFile)));
  }
  for (const [index, { logFile, dataDir }] of servers.entries()) {
    await cp(logFile, join(into, `postgres-${index + 1}.log`));
    await cp(dataDir, join(into, `postgres-${index + 1}`), { recursive: true });
  }
  for (const { dataDir } of local.coordinators) {
    await cp(dataDir, join(into, basename(dataDir)), { recursive: true });
  }
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
    replace: undefined,
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

/** None of a process that ended just now. */
function childrenOf(pid: number): readonly number[] {
  const threads = `/proc/${pid}/task`;
  try {
    return readdirSync(threads).flatMap((thread) =>
      readFileSync(join(threads, thread, "children"), "utf8")
        .split(" ")
        .filter(Boolean)
        .map(Number),
    );
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
