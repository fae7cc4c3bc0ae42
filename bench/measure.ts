/**
 * The measurement: every system at every number of clients, several short repeats, all systems in turn within a
 * repeat, so that a slow moment of the machine falls on all of them alike.
 */
import { setTimeout } from "node:timers/promises";
import { request } from "undici";
import { z } from "zod";
import type { LocalCluster } from "../demo/local-cluster.ts";
import type { ShardDatabase } from "../demo/accounts.ts";
import { openBareClients } from "./bare.ts";
import { cpuBetween, sampleCpu, type CpuSample, type Watched } from "./cpu.ts";
import { quantile, runLoad, type Client } from "./load.ts";
import { openSynodClients } from "./synod.ts";

export const SYSTEMS = {
  bareTransfer: "two shards, bare pg",
  synodTransfer: "two shards, Synod, ask the leader",
  synodTransferAlone: "two shards, Synod, without the lane",
  synodTransferRoundRobin: "two shards, Synod, ask any node",
  bareAddition: "one shard, bare pg",
  synodAddition: "one shard, Synod, ask the leader",
} as const;
export type System = keyof typeof SYSTEMS;

export interface Run {
  readonly system: System;
  readonly clients: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly committed: number;
  readonly aborted: number;
  /** Seconds of CPU by process. */
  readonly cpu: CpuSample;
}

export interface Plan {
  readonly clients: readonly number[];
  readonly repeats: number;
  readonly seconds: number;
}

export interface Measured {
  readonly runs: readonly Run[];
  /** One-shard transactions that committed, warm-up included: each has added one. */
  readonly added: number;
}

/**
 * By transactions, not by time: on a slow machine a compiler of hot code is still at work after thousands of them, and took a
 * quarter of all CPU.
 */
const COLD_WARM_UP_TRANSACTIONS = 8_000;
const COLD_WARM_UP_ROUND_MS = 2_000;
const MAX_COLD_WARM_UP_ROUNDS = 15;
const WARM_UP_CLIENTS = 32;
/** Before each repeat. */
const WARM_UP_MS = 400;
const SHARDS_DEADLINE_MS = 15_000;
const SHARDS_INTERVAL_MS = 50;
const ShardsAnswer = z.object({ shards: z.array(z.object({ reachable: z.boolean() })) });

export async function measure(
  cluster: LocalCluster,
  databases: readonly [ShardDatabase, ShardDatabase],
  plan: Plan,
  tell: (line: string) => void,
): Promise<Measured> {
  await awaitShards(cluster);
  const runs: Run[] = [];
  tell("warming up");
  let added = await warmUp(cluster, databases);
  for (const clients of plan.clients) {
    const { systems, close } = await openSystems(cluster, databases, clients);
    for (let repeat = 1; repeat <= plan.repeats; repeat += 1) {
      for (const [system, loops] of systems) {
        const warm = await runLoad(loops, WARM_UP_MS);
        const run = await measureOnce(await watch(cluster), system, loops, plan.seconds);
        if (isAddition(system)) added += warm.committed + run.committed;
        runs.push(run);
        tell(
          `${clients} clients, repeat ${repeat}: ${SYSTEMS[system]}: ${run.perSecond.toFixed(0)}/s`,
        );
      }
    }
    await close();
  }
  return { runs, added };
}

/** Until the programs have compiled what they need; a cold start would count against whoever comes first. */
async function warmUp(
  cluster: LocalCluster,
  databases: readonly [ShardDatabase, ShardDatabase],
): Promise<number> {
  const { systems, close } = await openSystems(cluster, databases, WARM_UP_CLIENTS);
  let added = 0;
  for (const [system, loops] of systems) {
    let committed = 0;
    for (let round = 1; round <= MAX_COLD_WARM_UP_ROUNDS; round += 1) {
      committed += (await runLoad(loops, COLD_WARM_UP_ROUND_MS)).committed;
      if (committed >= COLD_WARM_UP_TRANSACTIONS) break;
    }
    if (isAddition(system)) added += committed;
  }
  await close();
  return added;
}

function isAddition(system: System): boolean {
  return system === "bareAddition" || system === "synodAddition";
}

async function measureOnce(
  watched: readonly Watched[],
  system: System,
  loops: readonly Client[],
  seconds: number,
): Promise<Run> {
  const cpuFrom = sampleCpu(watched);
  const load = await runLoad(loops, seconds * 1_000);
  const cpu = cpuBetween(cpuFrom, sampleCpu(watched));
  const { committed, aborted, elapsedMs, latenciesMs } = load;
  return {
    ...{ system, clients: loops.length, committed, aborted, cpu },
    perSecond: committed / (elapsedMs / 1_000),
    p50Ms: quantile(latenciesMs, 0.5),
    p99Ms: quantile(latenciesMs, 0.99),
  };
}

interface Systems {
  readonly systems: readonly (readonly [System, readonly Client[]])[];
  readonly close: () => Promise<void>;
}

async function openSystems(
  cluster: LocalCluster,
  databases: readonly [ShardDatabase, ShardDatabase],
  clients: number,
): Promise<Systems> {
  const shards = [databases[0].shard, databases[1].shard] as const;
  const bare = await openBareClients(databases, clients);
  const urls = cluster.coordinators.map(({ url }) => url);
  const leading = openSynodClients(urls, "leader", shards, clients);
  const any = openSynodClients(urls, "any", shards, clients);
  return {
    systems: [
      ["bareTransfer", bare.transfers],
      ["synodTransfer", leading.transfers],
      ["synodTransferAlone", leading.transfersAlone],
      ["synodTransferRoundRobin", any.transfers],
      ["bareAddition", bare.additions],
      ["synodAddition", leading.additions],
    ],
    close: async () => {
      await Promise.all([bare.close(), leading.close(), any.close()]);
    },
  };
}

async function leaderOf(cluster: LocalCluster): Promise<LocalCluster["coordinators"][number]> {
  const leader = await cluster.leader();
  if (leader === undefined) throw new Error("the cluster has no leader");
  return leader;
}

/** A coordinator is ready when it has a leader; its connections to the shards may come a moment later. */
async function awaitShards(cluster: LocalCluster): Promise<void> {
  const deadlineMs = performance.now() + SHARDS_DEADLINE_MS;
  for (const { name, url } of cluster.coordinators) {
    while (!(await reachesAllShards(url))) {
      if (performance.now() > deadlineMs) throw new Error(`${name} does not reach every shard`);
      await setTimeout(SHARDS_INTERVAL_MS);
    }
  }
}

async function reachesAllShards(url: string): Promise<boolean> {
  const { body } = await request(`${url}/v1/cluster`);
  return ShardsAnswer.parse(await body.json()).shards.every(({ reachable }) => reachable);
}

async function watch(cluster: LocalCluster): Promise<readonly Watched[]> {
  const leader = await leaderOf(cluster);
  return [
    { name: "client", pid: () => process.pid, tree: false },
    ...cluster.coordinators.map((node) => {
      const role = node.id === leader.id ? "leader" : "follower";
      return { name: `${role} ${node.id}`, pid: () => node.pid, tree: false };
    }),
    ...cluster.participants.flatMap((node) => [
      { name: `participant ${node.shard}`, pid: () => node.pid, tree: false },
      { name: `postgres ${node.shard}`, pid: () => node.postgresPid, tree: true },
    ]),
  ];
}
