/**
 * The backend of containers: three coordinators, three participants and three Postgres servers, in networks divided as in
 * docker-compose.yml. Unlike there, every member has a port on this machine's loopback address, for probes and for the audit, and
 * nodes listen on every interface, because a member that comes back into a network has another address there.
 */
import { randomBytes } from "node:crypto";
import { mkdtemp, mkdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Network, type StartedNetwork } from "testcontainers";
import { createAsk } from "../../demo/cluster/ask.ts";
import { awaitShards, findLeader } from "../../demo/cluster/leader.ts";
import { freePorts, LOOPBACK } from "../../demo/ports.ts";
import { eventually } from "../support/wait.ts";
import { clockEnvironment, type Clocks, makeClocks } from "./clock/clocks.ts";
import type { Cluster, Coordinator, Database, MemberDisk } from "./cluster.ts";
import { type ContainerMember, startContainer } from "./container.ts";
import { canHaveDisks, mountDisk, unmountDisk } from "./disk.ts";
import { buildImage, describeImage, type Engine, findEngine } from "./engine.ts";
import { awaitDatabase, awaitReady } from "./ready.ts";

/** Built from the code that is there, unless another one is named. */
const GIVEN_IMAGE = process.env["SYNOD_IMAGE"];
const SYNOD_IMAGE = GIVEN_IMAGE ?? "synod";
const POSTGRES_IMAGE = process.env["POSTGRES_IMAGE"] ?? "postgres:18";
const NUMBERS = [1, 2, 3];
const PORT = 8000;
const PEER_PORT = 7000;
const POSTGRES_PORT = 5432;
/** Bounds for what hangs, not for what is slow. */
const LEADER_DEADLINE_MS = 120_000;
const SHARDS_DEADLINE_MS = 120_000;
const CLUSTER_ID = "chaos";
const DATA = "/var/lib/synod";
const DATABASE_DATA = "/var/lib/postgresql/data";
const CLOCK = "/clock";
/** Of the user `node` in the image. */
const NODE_USER = 1_000;
/** Its disk is small, where we may make one. */
const NODE_WITH_DISK = 3;
const LOG_LINES = 10;
const PROBE_TIMEOUT_MS = 500;

interface Start {
  readonly engine: Engine;
  readonly prefix: string;
  readonly secret: string;
  readonly networks: Readonly<Record<"clients" | "peers" | "shards", StartedNetwork>>;
  readonly hostPorts: readonly number[];
  /** Of this machine, for what containers and suite share. */
  readonly directory: string;
  readonly clocks: Clocks;
  readonly disk: MemberDisk | undefined;
  readonly started: ContainerMember[];
}

export interface ContainerParticipant extends ContainerMember {
  readonly shard: string;
}

/** Resolves when every member is ready. Throws with the end of their logs; nothing is left then. */
export async function startContainers(): Promise<Cluster> {
  const engine = await findEngine();
  if (GIVEN_IMAGE === undefined) await buildImage(SYNOD_IMAGE);
  const description = await describeImage(engine, SYNOD_IMAGE);
  const start = await prepare(engine);
  try {
    return await startAll(start, description);
  } catch (error) {
    const logs = await Promise.all(
      start.started.map(async (it) => `${it.name}:\n${await it.logs(LOG_LINES)}`),
    );
    await removeAll(start);
    throw new Error(`the containers did not start\n${logs.join("\n")}`, { cause: error });
  }
}

async function prepare(engine: Engine): Promise<Start> {
  const directory = await mkdtemp(join(tmpdir(), "synod-chaos-"));
  const disk = canHaveDisks() ? await mountDisk(join(directory, "disk"), NODE_USER) : undefined;
  const [clients, peers, shards] = await Promise.all([1, 2, 3].map(() => new Network().start()));
  if (clients === undefined || peers === undefined || shards === undefined) {
    throw new Error("three networks were asked for");
  }
  return {
    ...{ engine, directory, disk },
    clocks: await makeClocks(join(directory, "clock")),
    prefix: `synod-chaos-${randomBytes(4).toString("hex")}`,
    secret: randomBytes(24).toString("hex"),
    networks: { clients, peers, shards },
    hostPorts: await freePorts(3 * NUMBERS.length),
    started: [],
  };
}

async function startAll(start: Start, description: string): Promise<Cluster> {
  const databases = await inTurn(NUMBERS, (n) => startDatabase(start, n));
  await Promise.all(databases.map(({ name, url }) => awaitDatabase(name, url)));
  const participants = await inTurn(NUMBERS, (n) => startParticipant(start, n));
  const coordinators = await inTurn(NUMBERS, (n) => startCoordinator(start, n));
  const ask = createAsk({ timeoutMs: PROBE_TIMEOUT_MS });
  const leaderNow = (): Promise<Coordinator | undefined> => findLeader(coordinators, ask);
  const leader = async (): Promise<Coordinator> => {
    let found: Coordinator | undefined;
    const isLed = async (): Promise<boolean> => (found = await leaderNow()) !== undefined;
    await eventually("somebody leads", isLed, LEADER_DEADLINE_MS);
    if (found === undefined) throw new Error("nobody leads");
    return found;
  };
  const cluster: Cluster = {
    ...{ backend: "containers", clusterId: CLUSTER_ID, description },
    ...{ coordinators, participants, databases, leader, leaderNow },
    awaitWhole: async () => {
      await leader();
      await awaitShards(coordinators, ask, SHARDS_DEADLINE_MS);
    },
    keepTraces: (directory) => keepTraces(start, directory),
    remove: () => removeAll(start),
  };
  await Promise.all(NUMBERS.flatMap((n) => [readiness(start, n, 1), readiness(start, n, 2)]));
  await cluster.awaitWhole();
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

async function startParticipant(start: Start, n: number): Promise<ContainerParticipant> {
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
  return { ...member, shard: `s${n}` };
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
      ...clockEnvironment(CLOCK),
    },
    mounts: [`${join(start.directory, "clock")}:${CLOCK}:ro`, ...diskMount(start, n)],
    networks: [start.networks.clients, start.networks.peers],
    port: PORT,
    hostPort: port,
    awaitReady: () => readiness(start, n, 2),
  });
  start.started.push(member);
  return {
    ...{ ...member, id: n, url: `http://${LOOPBACK}:${port}` },
    copyData: (into) => member.copy(DATA, into),
    disk: n === NODE_WITH_DISK ? start.disk : undefined,
    shiftClock: (byMs) => start.clocks.shift(n, byMs),
  };
}

function diskMount({ directory, disk }: Start, n: number): readonly string[] {
  return disk !== undefined && n === NODE_WITH_DISK ? [`${join(directory, "disk")}:${DATA}`] : [];
}

/** Nodes prove themselves with the secret; clients need no token (SYNOD_INSECURE). */
function commonSettings({ prefix, secret }: Start): Readonly<Record<string, string>> {
  return {
    SYNOD_CLUSTER_ID: CLUSTER_ID,
    SYNOD_CLUSTER_SECRET: secret,
    SYNOD_INSECURE: "1",
    SYNOD_COORDINATORS: listed((n) => `${n}=http://${prefix}-coordinator-${n}:${PORT}`),
  };
}

function listed(entry: (n: number) => string): string {
  return NUMBERS.map(entry).join(",");
}

async function keepTraces({ started, prefix }: Start, directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  for (const member of started) {
    const name = member.name.slice(prefix.length + 1);
    await writeFile(join(directory, `${name}.log`), await member.logs());
    if (name.startsWith("coordinator")) await member.copy(DATA, join(directory, name));
    if (name.startsWith("postgres")) await member.copy(DATABASE_DATA, join(directory, name));
  }
}

async function removeAll({ started, networks, directory, disk }: Start): Promise<void> {
  await inTurn([...started].reverse(), (member) => member.remove());
  await Promise.all(Object.values(networks).map((network) => network.stop()));
  if (disk !== undefined) await unmountDisk(join(directory, "disk"));
  await rm(directory, { recursive: true, force: true });
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
