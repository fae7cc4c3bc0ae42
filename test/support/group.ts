/** A whole group in one process: coordinators with real disks, sockets and HTTP, participants over real databases. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { readCoordinatorConfig } from "../../coordinator/config.ts";
import {
  startCoordinator,
  type Coordinator,
  type CoordinatorOptions,
} from "../../coordinator/coordinator.ts";
import { freePorts } from "../../demo/ports.ts";
import { readParticipantConfig } from "../../participant/config.ts";
import { startParticipant, type Participant } from "../../participant/participant.ts";
import { noFailpoints } from "../../shared/model/failpoints.ts";
import { get } from "./api-node.ts";
import { createTestDatabase } from "./postgres.ts";
import { eventually } from "./wait.ts";

export interface GroupNode {
  readonly id: number;
  readonly url: string;
  readonly start: () => Promise<void>;
  readonly stop: () => Promise<void>;
  readonly isRunning: () => boolean;
}

export interface GroupShard {
  readonly shard: string;
  readonly url: string;
  /** An ordinary client of its database. */
  readonly client: pg.Client;
}

export interface Group {
  readonly nodes: readonly GroupNode[];
  readonly shards: readonly GroupShard[];
  /** All running nodes name it, it runs, and it reaches every shard. */
  leader(): Promise<GroupNode>;
  close(): Promise<void>;
}

export interface GroupOptions {
  readonly shards: number;
  readonly coordinators?: Pick<CoordinatorOptions, "ledgerOptions" | "snapshots">;
}

const HOST = "127.0.0.1";
const ignore = (): void => undefined;
const logger = { debug: ignore, info: ignore, warn: ignore, error: ignore };

function onFatal(error: unknown): void {
  throw error;
}

export async function startGroup(options: GroupOptions): Promise<Group> {
  const directory = mkdtempSync(join(tmpdir(), "group-"));
  const ids = [1, 2, 3];
  const ports = await freePorts(2 * ids.length + options.shards);
  const port = (index: number): number => ports[index] ?? 0;
  const names = Array.from({ length: options.shards }, (_, index) => `s${index + 1}`);
  const common = {
    SYNOD_CLUSTER_ID: "group",
    SYNOD_COORDINATORS: ids.map((id) => `${id}=http://${HOST}:${port(id - 1)}`).join(","),
  };
  const listen = (index: number): string => `${HOST}:${port(2 * ids.length + index)}`;
  const started = await Promise.all(
    names.map((shard, index) => startShard({ ...common, SYNOD_SHARD_ID: shard }, listen(index))),
  );
  const nodes = ids.map((id) =>
    createNode(options, id, `http://${HOST}:${port(id - 1)}`, {
      ...common,
      SYNOD_NODE_ID: String(id),
      SYNOD_DATA_DIR: join(directory, String(id)),
      SYNOD_HTTP_LISTEN: `${HOST}:${port(id - 1)}`,
      SYNOD_PEER_LISTEN: `${HOST}:${port(id + 2)}`,
      SYNOD_PEERS: ids.map((other) => `${other}=${HOST}:${port(other + 2)}`).join(","),
      SYNOD_PARTICIPANTS: names.map((shard, index) => `${shard}=${listen(index)}`).join(","),
    }),
  );
  await Promise.all(nodes.map((node) => node.start()));
  return {
    nodes,
    shards: started,
    leader: () => agreedLeader(nodes),
    close: async () => {
      await Promise.all(nodes.map((node) => node.stop()));
      await Promise.all(started.map(({ participant }) => participant.stop()));
      await Promise.all(started.map(({ client }) => client.end()));
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function startShard(
  env: Readonly<Record<string, string>> & { readonly SYNOD_SHARD_ID: string },
  listen: string,
): Promise<GroupShard & { readonly participant: Participant }> {
  const databaseUrl = await createTestDatabase();
  const config = readParticipantConfig({
    ...env,
    SYNOD_LISTEN: listen,
    SYNOD_DATABASE_URL: databaseUrl,
    SYNOD_MAX_BRANCHES: "16",
  });
  const participant = await startParticipant({ config, logger, onFatal });
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  return { shard: env.SYNOD_SHARD_ID, url: `http://${listen}`, client, participant };
}

function createNode(
  { coordinators = {} }: GroupOptions,
  id: number,
  url: string,
  env: Readonly<Record<string, string>>,
): GroupNode {
  const config = readCoordinatorConfig(env);
  let running: Coordinator | undefined;
  return {
    id,
    url,
    start: async () => {
      running = await startCoordinator({
        ...{ config, logger, onFatal, failpoint: noFailpoints },
        ...coordinators,
      });
    },
    stop: async () => {
      const stopping = running;
      running = undefined;
      await stopping?.stop();
    },
    isRunning: () => running !== undefined,
  };
}

interface View {
  readonly leader: number | null;
  readonly serving: boolean;
  readonly shards: readonly { readonly reachable: boolean }[];
}

async function agreedLeader(nodes: readonly GroupNode[]): Promise<GroupNode> {
  let leader: GroupNode | undefined;
  await eventually("the running nodes agree on a leader, and all reach every shard", async () => {
    const running = nodes.filter((node) => node.isRunning());
    const views = await Promise.all(
      running.map(async ({ url }) => (await get(url, "/v1/cluster")).body as unknown as View),
    );
    const isWhole = views.every(
      ({ serving, shards }) => serving && shards.every(({ reachable }) => reachable),
    );
    const named = new Set(views.map((view) => view.leader));
    leader = running.find(({ id }) => named.size === 1 && named.has(id));
    return isWhole && leader !== undefined;
  });
  return leader!;
}
