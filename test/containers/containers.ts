/**
 * The backend of containers: three coordinators, three participants and three Postgres servers, in networks divided as in
 * docker-compose.yml. Unlike there, every member has a port on this machine's loopback address, for probes and for the audit, and
 * nodes listen on every interface, because a member that comes back into a network has another address there.
 */
import { randomBytes } from "node:crypto";
import { Network, type StartedNetwork } from "testcontainers";
import { createAsk } from "../../demo/cluster/ask.ts";
import { awaitShards, findLeader } from "../../demo/cluster/leader.ts";
import { freePorts, LOOPBACK } from "../../demo/ports.ts";
import { eventually } from "../support/wait.ts";
import type { Cluster, Coordinator, Database, Member } from "./cluster.ts";
import { type ContainerMember, startContainer } from "./container.ts";
import { describeImage, type Engine, findEngine } from "./engine.ts";
import { awaitDatabase, awaitReady } from "./ready.ts";

const SYNOD_IMAGE = process.env["SYNOD_IMAGE"] ?? "synod";
const POSTGRES_IMAGE = process.env["POSTGRES_IMAGE"] ?? "postgres:18";
const NUMBERS = [1, 2, 3];
const PORT = 8000;
const PEER_PORT = 7000;
const POSTGRES_PORT = 5432;
const LEADER_DEADLINE_MS = 60_000;

interface Start {
  readonly engine: Engine;
  readonly prefix: string;
  readonly secret: string;
  readonly networks: Readonly<Record<"clients" | "peers" | "shards", StartedNetwork>>;
  readonly hostPorts: readonly number[];
  readonly started: ContainerMember[];
}

/** Resolves when every member is ready. Throws with the end of their logs; nothing is left then. */
export async function startContainers(): Promise<Cluster> {
  const engine = await findEngine();
  const description = await describeImage(engine, SYNOD_IMAGE);
  const [clients, peers, shards] = await Promise.all([1, 2, 3].map(() => new Network().start()));
  if (clients === undefined || peers === undefined || shards === undefined) {
    throw new Error("three networks were asked for");
  }
  const start: Start = {
    engine,
    prefix: `synod-chaos-${randomBytes(4).toString("hex")}`,
    secret: randomBytes(24).toString("hex"),
    networks: { clients, peers, shards },
    hostPorts: await freePorts(3 * NUMBERS.length),
    started: [],
  };
  try {
    return await startAll(start, description);
  } catch (error) {
    const logs = await Promise.all(
      start.started.map(async (it) => `${it.name}:\n${await it.logs()}`),
    );
    await removeAll(start);
    throw new Error(`the containers did not start\n${logs.join("\n")}`, { cause: error });
  }
}

async function startAll(start: Start, description: string): Promise<Cluster> {
  const databases = await inTurn(NUMBERS, (n) => startDatabase(start, n));
  await Promise.all(databases.map(({ name, url }) => awaitDatabase(name, url)));
  const participants = await inTurn(NUMBERS, (n) => startParticipant(start, n));
  const coordinators = await inTurn(NUMBERS, (n) => startCoordinator(start, n));
  const ask = createAsk({});
  const cluster: Cluster = {
    backend: "containers",
    description,
    coordinators,
    participants,
    databases,
    leader: async () => {
      let leader: Coordinator | undefined;
      const isLed = async (): Promise<boolean> =>
        (leader = await findLeader(coordinators, ask)) !== undefined;
      await eventually("somebody leads", isLed, LEADER_DEADLINE_MS);
      if (leader === undefined) throw new Error("nobody leads");
      return leader;
    },
    awaitShards: () => awaitShards(coordinators, ask),
    remove: () => removeAll(start),
  };
  await Promise.all(NUMBERS.flatMap((n) => [readiness(start, n, 1), readiness(start, n, 2)]));
  await cluster.awaitShards();
  return cluster;
}

/** `layer`: 0 databases, 1 participants, 2 coordinators. */
function hostPort({ hostPorts }: Start, n: number, layer: 0 | 1 | 2): number {
  const port = hostPorts[layer * NUMBERS.length + n - 1];
  if (port === undefined) throw new Error("a port is planned for every member");
  return port;
}

function readiness(start: Start, n: number, layer: 1 | 2): Promise<void> {
  const name = `${layer === 1 ? "participant s" : "coordinator "}${n}`;
  return awaitReady(name, `http://${LOOPBACK}:${hostPort(start, n, layer)}`);
}

async function startDatabase(start: Start, n: number): Promise<Database> {
  const port = hostPort(start, n, 0);
  const url = `postgres://synod:${start.secret}@${LOOPBACK}:${port}/synod`;
  const name = `${start.prefix}-postgres-${n}`;
  const member = await startContainer(start.engine, {
    name,
    image: POSTGRES_IMAGE,
    command: ["postgres", "-c", "max_prepared_transactions=200", "-c", "max_connections=200"],
    env: { POSTGRES_USER: "synod", POSTGRES_DB: "synod", POSTGRES_PASSWORD: start.secret },
    networks: [start.networks.shards],
    port: POSTGRES_PORT,
    hostPort: port,
    awaitReady: () => awaitDatabase(name, url),
  });
  start.started.push(member);
  return { ...member, shard: `s${n}`, url };
}

async function startParticipant(start: Start, n: number): Promise<Member> {
  const member = await startContainer(start.engine, {
    name: `${start.prefix}-participant-${n}`,
    image: SYNOD_IMAGE,
    command: ["node", "dist/participant/main.js"],
    env: {
      ...commonSettings(start),
      SYNOD_SHARD_ID: `s${n}`,
      SYNOD_LISTEN: `0.0.0.0:${PORT}`,
      SYNOD_DATABASE_URL: `postgres://synod:${start.secret}@${start.prefix}-postgres-${n}:${POSTGRES_PORT}/synod`,
    },
    networks: [start.networks.peers, start.networks.shards],
    port: PORT,
    hostPort: hostPort(start, n, 1),
    awaitReady: () => readiness(start, n, 1),
  });
  start.started.push(member);
  return member;
}

async function startCoordinator(start: Start, n: number): Promise<Coordinator> {
  const port = hostPort(start, n, 2);
  const member = await startContainer(start.engine, {
    name: `${start.prefix}-coordinator-${n}`,
    image: SYNOD_IMAGE,
    command: ["node", "dist/coordinator/main.js"],
    env: {
      ...commonSettings(start),
      SYNOD_NODE_ID: String(n),
      SYNOD_HTTP_LISTEN: `0.0.0.0:${PORT}`,
      SYNOD_PEER_LISTEN: `0.0.0.0:${PEER_PORT}`,
      SYNOD_PEERS: listed((i) => `${i}=${start.prefix}-coordinator-${i}:${PEER_PORT}`),
      SYNOD_PARTICIPANTS: listed((i) => `s${i}=${start.prefix}-participant-${i}:${PORT}`),
    },
    networks: [start.networks.clients, start.networks.peers],
    port: PORT,
    hostPort: port,
    awaitReady: () => readiness(start, n, 2),
  });
  start.started.push(member);
  return { ...member, id: n, url: `http://${LOOPBACK}:${port}` };
}

/** Nodes prove themselves with the secret; clients need no token (SYNOD_INSECURE). */
function commonSettings({ prefix, secret }: Start): Readonly<Record<string, string>> {
  return {
    SYNOD_CLUSTER_ID: "chaos",
    SYNOD_CLUSTER_SECRET: secret,
    SYNOD_INSECURE: "1",
    SYNOD_COORDINATORS: listed((n) => `${n}=http://${prefix}-coordinator-${n}:${PORT}`),
  };
}

function listed(entry: (n: number) => string): string {
  return NUMBERS.map(entry).join(",");
}

async function removeAll({ started, networks }: Start): Promise<void> {
  await inTurn([...started].reverse(), (member) => member.remove());
  await Promise.all(Object.values(networks).map((network) => network.stop()));
}

/** One after the other: a small machine starts nine containers at once no sooner. */
async function inTurn<Item, Result>(
  items: readonly Item[],
  act: (item: Item) => Promise<Result>,
): Promise<readonly Result[]> {
  const results: Result[] = [];
  for (const item of items) results.push(await act(item));
  return results;
}
