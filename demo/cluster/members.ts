/** The members of a local cluster, and how each is started. */
import { join } from "node:path";
import type { Ask } from "./ask.ts";
import { type NodeProcess, startNodeProcess } from "./node-process.ts";
import { type ShardServer, startShardServer } from "./shard.ts";
import {
  coordinatorEnvironment,
  type CoordinatorPlace,
  coordinatorUrl,
  participantEnvironment,
  type ParticipantPlace,
  participantUrl,
  type Topology,
} from "./topology.ts";

export interface ClusterNode extends NodeProcess {
  readonly id: number;
  readonly dataDir: string;
  /** Where the other coordinators reach it. */
  readonly peerPort: number;
}

export interface ClusterParticipant extends NodeProcess {
  readonly shard: string;
  readonly postgres: ShardServer;
  readonly postgresUrl: string;
  readonly postgresPid: number;
}

export type Started = NodeProcess | ShardServer;

export interface ClusterStart {
  readonly directory: string;
  readonly topology: Topology;
  readonly env: Readonly<Record<string, string>>;
  readonly ask: Ask;
  /** Everything started so far, for the case that the rest fails. */
  readonly started: Started[];
}

export async function startParticipant(
  { directory, topology, env, ask, started }: ClusterStart,
  place: ParticipantPlace,
): Promise<ClusterParticipant> {
  const postgres = await startShardServer(directory, place.shard, place.postgresPort);
  started.push(postgres);
  const node = await startNodeProcess({
    name: `participant ${place.shard}`,
    program: "participant/main.js",
    ask,
    url: participantUrl(topology, place),
    logFile: join(directory, `participant-${place.shard}.log`),
    env: { ...participantEnvironment(topology, place, postgres.url), ...env },
  });
  started.push(node);
  return extend(node, {
    shard: place.shard,
    postgres,
    postgresUrl: postgres.url,
    get postgresPid() {
      return postgres.pid;
    },
  });
}

export async function startCoordinator(
  { directory, topology, env, ask, started }: ClusterStart,
  place: CoordinatorPlace,
): Promise<ClusterNode> {
  const dataDir = join(directory, `coordinator-${place.id}`);
  const node = await startNodeProcess({
    name: `coordinator ${place.id}`,
    program: "coordinator/main.js",
    ask,
    url: coordinatorUrl(topology, place),
    logFile: `${dataDir}.log`,
    env: { ...coordinatorEnvironment(topology, place, dataDir), ...env },
  });
  started.push(node);
  return extend(node, { id: place.id, dataDir, peerPort: place.peerPort });
}

/** Both in one object; getters stay getters, so that a new run's process id is seen. */
function extend<A extends object, B extends object>(base: A, more: B): A & B {
  return Object.defineProperties(base, Object.getOwnPropertyDescriptors(more)) as A & B;
}
