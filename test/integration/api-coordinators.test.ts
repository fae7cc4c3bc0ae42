/** Three coordinator nodes in one process, with real disks, sockets and HTTP; no shard is reachable. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readCoordinatorConfig } from "../../coordinator/config.ts";
import { startCoordinator, type Coordinator } from "../../coordinator/coordinator.ts";
import { noFailpoints } from "../../shared/model/failpoints.ts";
import { get, post, TRANSFER } from "../support/api-node.ts";
import { eventually } from "../support/wait.ts";

interface Place {
  readonly id: number;
  readonly url: string;
  readonly start: () => Promise<Coordinator>;
}

const directory = mkdtempSync(join(tmpdir(), "coordinators-"));
const running = new Map<number, Coordinator>();
const fatal: unknown[] = [];
let places: readonly Place[];

beforeAll(async () => {
  const ports = await freePorts(7);
  const ids = [1, 2, 3];
  const list = (prefix: string, offset: number): string =>
    ids.map((id) => `${id}=${prefix}127.0.0.1:${ports[id - 1 + offset] ?? 0}`).join(",");
  places = ids.map((id) => {
    const config = readCoordinatorConfig({
      SYNOD_CLUSTER_ID: "api-test",
      SYNOD_NODE_ID: String(id),
      SYNOD_DATA_DIR: join(directory, String(id)),
      SYNOD_HTTP_LISTEN: `127.0.0.1:${ports[id - 1] ?? 0}`,
      SYNOD_PEER_LISTEN: `127.0.0.1:${ports[id + 2] ?? 0}`,
      SYNOD_PEERS: list("", 3),
      SYNOD_COORDINATORS: list("http://", 0),
      SYNOD_PARTICIPANTS: `s1=127.0.0.1:${ports[6] ?? 0},s2=127.0.0.1:${ports[6] ?? 0}`,
    });
    const logger = { debug: ignore, info: ignore, warn: ignore, error: ignore };
    const options = { config, logger, onFatal, failpoint: noFailpoints };
    return {
      id,
      url: `http://127.0.0.1:${ports[id - 1] ?? 0}`,
      start: () => startCoordinator(options),
    };
  });
});

afterAll(async () => {
  await Promise.all([...running.values()].map((coordinator) => coordinator.stop()));
  rmSync(directory, { recursive: true, force: true });
});

function onFatal(error: unknown): void {
  fatal.push(error);
}

function ignore(): void {
  // These tests look at answers, not at logs.
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  await Promise.all(
    servers.map((server) => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

async function start(place: Place): Promise<void> {
  running.set(place.id, await place.start());
}

async function stop(place: Place): Promise<void> {
  const coordinator = running.get(place.id);
  running.delete(place.id);
  await coordinator?.stop();
}

const alive = (): Place[] => places.filter(({ id }) => running.has(id));

/** All running nodes are ready and name the same leader. */
async function agreedLeader(): Promise<Place> {
  let leader: Place | undefined;
  await eventually("the running nodes agree on a leader that runs", async () => {
    const views = await Promise.all(alive().map(({ url }) => get(url, "/v1/cluster")));
    const named = new Set(
      views.map(({ body }) => (body["serving"] === true ? body["leader"] : null)),
    );
    leader = alive().find(({ id }) => named.size === 1 && named.has(id));
    return leader !== undefined;
  });
  return leader!;
}

test("one node of three is alive but not ready, and begins nothing", async () => {
  await start(places[0]!);
  const { url } = places[0]!;
  expect((await get(url, "/livez")).status).toBe(200);
  expect((await get(url, "/readyz")).status).toBe(503);
  const answer = await post(url, { ...TRANSFER, timeoutMs: 200 });
  expect(answer).toMatchObject({
    status: 503,
    body: { code: "no-quorum", outcome: "not_started" },
  });
});

test("three nodes elect a leader; whoever is asked, the leader answers", async () => {
  await start(places[1]!);
  await start(places[2]!);
  const leader = await agreedLeader();
  for (const { url } of places) {
    expect((await get(url, "/readyz")).status).toBe(200);
    const answer = await post(url, TRANSFER);
    expect(answer).toMatchObject({
      status: 503,
      body: { code: "shard-unavailable", outcome: "not_started", shard: "s1" },
    });
    expect(answer.headers.get("synod-leader")).toBe(`${leader.id}; url="${leader.url}"`);
  }
  const { body } = await get(leader.url, "/v1/cluster");
  expect(body["shards"]).toEqual([
    { shard: "s1", reachable: false },
    { shard: "s2", reachable: false },
  ]);
  expect(body["chosenUpTo"]).toBeGreaterThan(0);
});

test("when the leader goes, another one follows, and the log brings the first one back", async () => {
  const first = await agreedLeader();
  await stop(first);
  await expect(get(first.url, "/livez")).rejects.toThrow();
  const second = await agreedLeader();
  expect(second.id).not.toBe(first.id);
  const [follower] = alive().filter(({ id }) => id !== second.id);
  expect((await post(follower!.url, TRANSFER)).body["code"]).toBe("shard-unavailable");
  await start(first);
  await agreedLeader();
  const { body } = await get(first.url, "/v1/cluster");
  expect(body["chosenUpTo"]).toBeGreaterThan(1);
  expect(fatal).toEqual([]);
});

test("a taken port ends the start, and leaves nothing behind", async () => {
  const [place] = places;
  await stop(place!);
  const squatter = createServer();
  const { port } = new URL(place!.url);
  await new Promise<void>((resolve) => squatter.listen(Number(port), "127.0.0.1", resolve));
  await expect(place!.start()).rejects.toThrow("EADDRINUSE");
  await new Promise((resolve) => squatter.close(resolve));
  await start(place!);
  await agreedLeader();
});
