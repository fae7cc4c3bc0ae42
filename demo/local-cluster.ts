/**
 * A whole Synod cluster on this machine, without Docker: every coordinator, participant and Postgres server is a
 * process of its own, with data and logs under one directory.
 *
 *   <directory>/cluster.json                  who runs where; rewritten when a process is started again
 *   <directory>/coordinator-1/, coordinator-1.log
 *   <directory>/participant-s1.log
 *   <directory>/s1/postgres/                  or a link, see postgres/data-directory.ts
 *
 * No process outlives the program that started the cluster (processes/keeper.ts).
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Ask, createAsk } from "./cluster/ask.ts";
import { writeClusterFile } from "./cluster/cluster-file.ts";
import { awaitShards, findLeader } from "./cluster/leader.ts";
import {
  type ClusterNode,
  type ClusterParticipant,
  startCoordinator,
  type Started,
  startParticipant,
} from "./cluster/members.ts";
import type { NodeProcess } from "./cluster/node-process.ts";
import { shardDataDirectory, type ShardServer } from "./cluster/shard.ts";
import { authorityFile, planTopology, portsOf, type Topology } from "./cluster/topology.ts";
import { removeDataDirectory } from "./embedded-postgres.ts";
import { requireFree } from "./ports.ts";

export interface LocalClusterOptions {
  /** 3 by default. */
  readonly coordinators?: number;
  /** 3 by default. */
  readonly shards?: number;
  /** Made if missing. A cluster of the same shape that was stopped there goes on with its data. */
  readonly directory: string;
  /** Free ports by default; see planTopology for who gets which. */
  readonly basePort?: number;
  /** For every coordinator and participant, over what the cluster gives them. */
  readonly env?: Readonly<Record<string, string>>;
  /** Shown to the coordinators by the cluster itself, where `env` names a clients' file; without it shards are not waited for. */
  readonly token?: string;
  /** A directory with what `synod cert init` and `synod cert issue` have made for the cluster `local`: all speak TLS then. */
  readonly certificates?: string;
  /** Where to write cluster.json; `<directory>/cluster.json` by default. */
  readonly clusterFile?: string;
}

export interface LocalCluster {
  readonly clusterId: string;
  readonly directory: string;
  readonly clusterFile: string;
  readonly coordinators: readonly ClusterNode[];
  readonly participants: readonly ClusterParticipant[];
  /** A coordinator, a participant, or the `postgres` of one. SIGKILL resolves when the process has ended. */
  kill(target: NodeProcess | ShardServer, signal?: NodeJS.Signals): Promise<void>;
  /** Resolves when the process is ready again; `env` is ignored by Postgres. */
  restart(target: NodeProcess | ShardServer, env?: Readonly<Record<string, string>>): Promise<void>;
  /** What the running coordinators say; `undefined` while none of them names a leader that runs. */
  leader(): Promise<ClusterNode | undefined>;
  /** Ends every process: coordinators, then participants, then Postgres. The data stays. */
  stop(): Promise<void>;
}

const PORT_ATTEMPTS = 3;
const CLUSTER_ID = "local";

/** Resolves when every process is ready. Throws with the log of the process that failed; nothing is left running. */
export async function startLocalCluster(options: LocalClusterOptions): Promise<LocalCluster> {
  const directory = resolve(options.directory);
  mkdirSync(directory, { recursive: true });
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await startOnce(directory, options);
    } catch (error) {
      const lostPort = error instanceof Error && error.message.includes("EADDRINUSE");
      if (!lostPort || options.basePort !== undefined || attempt === PORT_ATTEMPTS) throw error;
    }
  }
}

/** Deletes a stopped cluster's data and logs. */
export function removeClusterDirectory(directory: string): void {
  if (!existsSync(directory)) return;
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    if (entry.isDirectory()) removeDataDirectory(shardDataDirectory(directory, entry.name));
  }
  rmSync(directory, { recursive: true, force: true });
}

async function startOnce(directory: string, options: LocalClusterOptions): Promise<LocalCluster> {
  const { token } = options;
  const certificates = options.certificates && resolve(options.certificates);
  const authority = certificates && authorityFile(certificates);
  const ask = createAsk({ token, authority: authority && readFileSync(authority, "utf8") });
  const topology = await planTopology({
    clusterId: CLUSTER_ID,
    coordinators: options.coordinators ?? 3,
    shards: options.shards ?? 3,
    ...(options.basePort === undefined ? {} : { basePort: options.basePort }),
    ...(certificates === undefined ? {} : { certificates }),
  });
  if (options.basePort !== undefined) await requireFree(portsOf(topology));
  const started: Started[] = [];
  const start = { directory, topology, env: options.env ?? {}, ask, started };
  try {
    const participants = await allOrFirstError(
      topology.participants.map((place) => startParticipant(start, place)),
    );
    const coordinators = await allOrFirstError(
      topology.coordinators.map((place) => startCoordinator(start, place)),
    );
    await Promise.all([...participants, ...coordinators].map((node) => node.awaitReady()));
    const mayAsk = token !== undefined || options.env?.["SYNOD_CLIENTS_FILE"] === undefined;
    if (mayAsk) await awaitShards(coordinators, ask);
    const clusterFile = options.clusterFile ?? join(directory, "cluster.json");
    const writeFile = (): void => {
      writeClusterFile(clusterFile, { authority, coordinators, participants });
    };
    writeFile();
    return assemble({
      ...{ topology, directory, clusterFile, writeFile },
      ...{ coordinators, participants, ask },
    });
  } catch (error) {
    await Promise.all(started.map((target) => target.stop()));
    throw error;
  }
}

/** Waits for all to settle, so that nothing is started any more when the error is handled. */
async function allOrFirstError<T>(starts: readonly Promise<T>[]): Promise<readonly T[]> {
  await Promise.allSettled(starts);
  return Promise.all(starts);
}

interface Parts {
  readonly topology: Topology;
  readonly directory: string;
  readonly clusterFile: string;
  readonly writeFile: () => void;
  readonly coordinators: readonly ClusterNode[];
  readonly participants: readonly ClusterParticipant[];
  readonly ask: Ask;
}

function assemble(parts: Parts): LocalCluster {
  const { topology, directory, clusterFile, writeFile, coordinators, participants, ask } = parts;
  return {
    clusterId: topology.clusterId,
    directory,
    clusterFile,
    coordinators,
    participants,
    kill: (target, signal = "SIGKILL") => target.kill(signal),
    restart: async (target, env) => {
      await target.restart(env);
      writeFile();
    },
    leader: () => findLeader(coordinators, ask),
    stop: async () => {
      await Promise.all(coordinators.map((node) => node.stop()));
      await Promise.all(participants.map((node) => node.stop()));
      await Promise.all(participants.map((node) => node.postgres.stop()));
      rmSync(clusterFile, { force: true });
    },
  };
}
