/**
 * Coordinators and participants as production composes them, in this process, each participant on a database of its own on
 * the test file's Postgres server.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readCoordinatorConfig } from "../../coordinator/config.ts";
import { startCoordinator, type Coordinator } from "../../coordinator/coordinator.ts";
import { readParticipantConfig } from "../../participant/config.ts";
import { startParticipant } from "../../participant/participant.ts";
import { noFailpoints } from "../../shared/model/failpoints.ts";
import type { Environment } from "../../shared/runtime/config-reading.ts";
import { silent } from "../participant/node-fixture.ts";
import { ask } from "./https.ts";
import { createTestDatabase } from "./postgres.ts";
import { eventually } from "./wait.ts";

export interface WholeCluster {
  /** Of the leader. */
  readonly url: string;
  readonly urls: readonly string[];
  readonly peerPorts: readonly number[];
  readonly participantPorts: readonly number[];
  readonly databases: readonly { readonly shard: string; readonly url: string }[];
  stop(): Promise<void>;
}

const COORDINATORS = [1, 2, 3];
/** Below the 200 connections of the server, together with everything else that the participants open. */
const BRANCHES_PER_SHARD = 40;
const START_DEADLINE_MS = 60_000;

/** `certificates`: a directory made by `synod cert`, for mutual TLS. */
export async function startWholeCluster(
  shards: readonly string[],
  certificates?: string,
): Promise<WholeCluster> {
  const scheme = certificates === undefined ? "http" : "https";
  const tls = (name: string): Environment =>
    certificates === undefined
      ? {}
      : {
          SYNOD_TLS_CA: join(certificates, "ca.pem"),
          SYNOD_TLS_CERT: join(certificates, `${name}.pem`),
          SYNOD_TLS_KEY: join(certificates, `${name}-key.pem`),
        };
  const directory = mkdtempSync(join(tmpdir(), "synod-whole-"));
  const [http, peer] = [await freePorts(COORDINATORS), await freePorts(COORDINATORS)];
  const doors = await freePorts(shards);
  const list = (ports: readonly number[], prefix = ""): string =>
    COORDINATORS.map((id, place) => `${id}=${prefix}127.0.0.1:${ports[place]!}`).join();
  const common = { SYNOD_CLUSTER_ID: "whole", SYNOD_COORDINATORS: list(http, `${scheme}://`) };
  const databases = [];
  for (const shard of shards) databases.push({ shard, url: await createTestDatabase() });
  let isStopped = false;
  const onFatal = (error: unknown): void => {
    // What a node was still writing when it was stopped finds its directory gone.
    if (!isStopped) throw error;
  };
  const participants = await Promise.all(
    databases.map(({ shard, url }, place) => {
      const config = readParticipantConfig({
        ...common,
        ...tls(`participant-${shard}`),
        SYNOD_SHARD_ID: shard,
        SYNOD_LISTEN: `127.0.0.1:${doors[place]!}`,
        SYNOD_DATABASE_URL: url,
        SYNOD_MAX_BRANCHES: String(BRANCHES_PER_SHARD),
      });
      return startParticipant({ config, logger: silent, onFatal });
    }),
  );
  const coordinators: Coordinator[] = await Promise.all(
    COORDINATORS.map((id, place) => {
      const config = readCoordinatorConfig({
        ...common,
        ...tls(`coordinator-${id}`),
        SYNOD_NODE_ID: String(id),
        SYNOD_DATA_DIR: join(directory, String(id)),
        SYNOD_HTTP_LISTEN: `127.0.0.1:${http[place]!}`,
        SYNOD_PEER_LISTEN: `127.0.0.1:${peer[place]!}`,
        SYNOD_PEERS: list(peer),
        SYNOD_PARTICIPANTS: shards
          .map((shard, door) => `${shard}=127.0.0.1:${doors[door]!}`)
          .join(),
      });
      return startCoordinator({ config, logger: silent, onFatal, failpoint: noFailpoints });
    }),
  );
  return {
    url: await leaderAmong(http.map((port) => `${scheme}://127.0.0.1:${port}`)),
    urls: http.map((port) => `${scheme}://127.0.0.1:${port}`),
    peerPorts: peer,
    participantPorts: doors,
    databases,
    stop: async () => {
      await Promise.all(coordinators.map((coordinator) => coordinator.stop()));
      await Promise.all(participants.map((participant) => participant.stop()));
      isStopped = true;
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** The node that leads and reaches every shard. */
async function leaderAmong(urls: readonly string[]): Promise<string> {
  let leader: string | undefined;
  const find = async (): Promise<boolean> => {
    for (const url of urls) {
      const body = (await ask(url, "/v1/cluster")).body as Record<string, unknown>;
      const reachable = (body["shards"] as { reachable: boolean }[]).map((each) => each.reachable);
      const leads = body["leader"] === body["node"] && body["serving"] === true;
      if (leads && !reachable.includes(false)) leader = url;
    }
    return leader !== undefined;
  };
  await eventually("a node leads and reaches every shard", find, START_DEADLINE_MS);
  return leader!;
}

async function freePorts(each: readonly unknown[]): Promise<number[]> {
  const servers = each.map(() => createServer());
  await Promise.all(
    servers.map((server) => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
