/**
 * Who runs where: the addresses of a local cluster, and from them the environment of each of its processes.
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { freePorts, LOOPBACK } from "../ports.ts";

const SECRET_BYTES = 32;

export interface Topology {
  readonly clusterId: string;
  /** Made anew for each start: all who know it are started together. */
  readonly clusterSecret: string;
  /** Where `synod cert` has put those of all nodes; without it nothing is encrypted. */
  readonly certificates: string | undefined;
  readonly coordinators: readonly CoordinatorPlace[];
  readonly participants: readonly ParticipantPlace[];
}

export interface CoordinatorPlace {
  readonly id: number;
  readonly httpPort: number;
  readonly peerPort: number;
}

export interface ParticipantPlace {
  readonly shard: string;
  readonly port: number;
  /** `undefined`: the server takes a free one. */
  readonly postgresPort: number | undefined;
}

export interface TopologyRequest {
  readonly clusterId: string;
  readonly coordinators: number;
  readonly shards: number;
  readonly basePort?: number;
  readonly certificates?: string;
}

/** With a base port B: clients reach coordinator n at B + n, peers at B + 100 + n; shard n listens at B + 200 + n, its Postgres at B + 300 + n. */
export async function planTopology(request: TopologyRequest): Promise<Topology> {
  const { clusterId, coordinators, shards, basePort, certificates } = request;
  const free = basePort === undefined ? await freePorts(2 * coordinators + shards) : [];
  const port = (index: number, offset: number): number => {
    const found = basePort === undefined ? free[index] : basePort + offset;
    if (found === undefined) throw new Error("a port is planned for every listener");
    return found;
  };
  return {
    clusterId,
    clusterSecret: randomBytes(SECRET_BYTES).toString("base64url"),
    certificates,
    coordinators: numbers(coordinators).map((id) => ({
      id,
      httpPort: port(id - 1, id),
      peerPort: port(coordinators + id - 1, 100 + id),
    })),
    participants: numbers(shards).map((n) => ({
      shard: `s${n}`,
      port: port(2 * coordinators + n - 1, 200 + n),
      postgresPort: basePort === undefined ? undefined : basePort + 300 + n,
    })),
  };
}

/** Where somebody of the cluster will listen. */
export function portsOf({ coordinators, participants }: Topology): readonly number[] {
  return [
    ...coordinators.flatMap(({ httpPort, peerPort }) => [httpPort, peerPort]),
    ...participants.flatMap(({ port, postgresPort }) =>
      postgresPort === undefined ? [port] : [port, postgresPort],
    ),
  ];
}

function numbers(count: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => index + 1);
}

export function coordinatorUrl(topology: Topology, { httpPort }: CoordinatorPlace): string {
  return `${scheme(topology)}://${LOOPBACK}:${httpPort}`;
}

export function participantUrl(topology: Topology, { port }: ParticipantPlace): string {
  return `${scheme(topology)}://${LOOPBACK}:${port}`;
}

function scheme({ certificates }: Topology): string {
  return certificates === undefined ? "http" : "https";
}

/** The names of the files are those that `synod cert` gives. */
export function authorityFile(certificates: string): string {
  return join(certificates, "ca.pem");
}

function tlsEnvironment(
  { certificates }: Topology,
  node: string,
): Readonly<Record<string, string>> {
  if (certificates === undefined) return {};
  return {
    SYNOD_TLS_CA: authorityFile(certificates),
    SYNOD_TLS_CERT: join(certificates, `${node}.pem`),
    SYNOD_TLS_KEY: join(certificates, `${node}-key.pem`),
  };
}

export function coordinatorEnvironment(
  topology: Topology,
  place: CoordinatorPlace,
  dataDir: string,
): Readonly<Record<string, string>> {
  const peers = topology.coordinators.map(({ id, peerPort }) => `${id}=${LOOPBACK}:${peerPort}`);
  const participants = topology.participants.map(
    ({ shard, port }) => `${shard}=${LOOPBACK}:${port}`,
  );
  return {
    SYNOD_CLUSTER_ID: topology.clusterId,
    SYNOD_CLUSTER_SECRET: topology.clusterSecret,
    SYNOD_NODE_ID: String(place.id),
    SYNOD_DATA_DIR: dataDir,
    SYNOD_HTTP_LISTEN: `${LOOPBACK}:${place.httpPort}`,
    SYNOD_PEER_LISTEN: `${LOOPBACK}:${place.peerPort}`,
    SYNOD_PEERS: peers.join(","),
    SYNOD_COORDINATORS: coordinatorList(topology),
    SYNOD_PARTICIPANTS: participants.join(","),
    SYNOD_LOG_LEVEL: "info",
    ...tlsEnvironment(topology, `coordinator-${place.id}`),
  };
}

export function participantEnvironment(
  topology: Topology,
  place: ParticipantPlace,
  databaseUrl: string,
): Readonly<Record<string, string>> {
  return {
    SYNOD_CLUSTER_ID: topology.clusterId,
    SYNOD_CLUSTER_SECRET: topology.clusterSecret,
    SYNOD_SHARD_ID: place.shard,
    SYNOD_LISTEN: `${LOOPBACK}:${place.port}`,
    SYNOD_DATABASE_URL: databaseUrl,
    SYNOD_COORDINATORS: coordinatorList(topology),
    SYNOD_LOG_LEVEL: "info",
    ...tlsEnvironment(topology, `participant-${place.shard}`),
  };
}

function coordinatorList(topology: Topology): string {
  const { coordinators } = topology;
  return coordinators.map((place) => `${place.id}=${coordinatorUrl(topology, place)}`).join(",");
}
