/** A whole participant: its port, its channel, its database. */
import axios from "axios";
import type { ParticipantConfig } from "../../../participant/config.ts";
import { startParticipant, type Participant } from "../../../participant/participant.ts";
import { clusterId, nodeId, shardId, type Xid } from "../../../shared/model/ids.ts";
import {
  type CoordinatorHello,
  ParticipantHello,
  PROTOCOL_VERSION,
} from "../../../shared/model/protocol.ts";
import { CLUSTER_HEADER, ClusterSecret } from "../../../shared/runtime/cluster-secret.ts";
import { connectChannel, type Connection } from "../../../shared/runtime/channel-ends.ts";
import type { Channel } from "../../../shared/runtime/channel.ts";
import { systemRandom } from "../../../shared/runtime/clock.ts";
import { executeRequest, gidOf, silent } from "../../participant/node-fixture.ts";
import { ADD, operation } from "../../participant/shard-contract.ts";
import { eventually } from "../../support/wait.ts";
import { createShard, type ShardFixture } from "./postgres-fixture.ts";
import { startTcpProxy, throughProxy } from "./tcp-proxy.ts";

let fixture: ShardFixture;
let started: Participant[];
let connections: Connection[];
let fatal: unknown[];

beforeEach(async () => {
  fixture = await createShard();
  [started, connections, fatal] = [[], [], []];
});
afterEach(async () => {
  for (const connection of connections) connection.close();
  for (const participant of started) await participant.stop();
  await fixture.close();
});

async function start(change: Partial<ParticipantConfig> = {}): Promise<string> {
  const participant = await startParticipant({
    config: {
      clusterId: clusterId("test"),
      shardId: shardId("s1"),
      listen: { host: "127.0.0.1", port: 0 },
      databaseUrl: fixture.url,
      coordinators: new Map([[nodeId(1), "http://127.0.0.1:1"]]),
      clusterSecret: undefined,
      logLevel: "silent",
      maxBranches: 8,
      finishingConnections: 2,
      connectTimeoutMs: 2_000,
      inquiryAfterMs: 100,
      rescanIntervalMs: 1_000,
      receiptRetentionMs: 3_600_000,
      drainTimeoutMs: 100,
      warnings: [],
      ...change,
    },
    logger: silent,
    onFatal: (error) => fatal.push(error),
  });
  started.push(participant);
  return `127.0.0.1:${participant.port}`;
}

interface Link {
  readonly hello: ParticipantHello;
  readonly channel: Channel;
  readonly connection: Connection;
}

function link(address: string, change: Partial<CoordinatorHello> = {}): Promise<Link> {
  const hello = { protocol: PROTOCOL_VERSION, clusterId: "test", nodeId: 1, ...change };
  return new Promise((resolve, reject) => {
    const connection = connectChannel({
      url: `ws://${address}/channel`,
      hello: () => hello,
      random: systemRandom,
      acceptReply: () => true,
      onUp: (channel, reply) => {
        resolve({ hello: ParticipantHello.parse(reply), channel, connection });
      },
      onDown: () => undefined,
      onRefused: (sentence) => {
        reject(new Error(sentence));
      },
    });
    connections.push(connection);
  });
}

const get = (address: string, path: string, headers: Record<string, string> = {}) =>
  axios.get<Record<string, unknown>>(`http://${address}${path}`, {
    headers,
    validateStatus: () => true,
    proxy: false,
  });

const ready = async (address: string): Promise<boolean> =>
  (await get(address, "/readyz")).status === 200;

test("a participant that is up takes branches over its channel and commits them", async () => {
  const address = await start();
  await eventually("it is ready", () => ready(address));
  const { hello, channel } = await link(address);
  expect(hello).toMatchObject({ clusterId: "test", shard: "s1", maxBranches: 8 });
  const request = executeRequest(1, [operation(ADD, 1, "a")], { bootId: hello.bootId });
  const vote = (await channel.request(request, 5_000)) as { xid: Xid };
  expect(vote).toMatchObject({ kind: "prepared" });
  const commit = { kind: "commit", gid: gidOf(1), xid: vote.xid };
  expect(await channel.request(commit, 5_000)).toEqual({
    kind: "committed",
    evidence: "commandTag",
  });
  expect(await fixture.valueOf("a")).toBe("101");
  expect((await get(address, "/v1/participant")).data).toMatchObject({
    bootId: hello.bootId,
    prepared: 0,
    counts: { committed: 1 },
  });
});

test("where nodes have a secret, the branches are shown to nodes, and to others only that it lives and its sums", async () => {
  const secret = new ClusterSecret("the secret of the cluster under test");
  const address = await start({ clusterSecret: secret });
  await eventually("it is ready", () => ready(address));
  expect((await get(address, "/v1/participant")).status).toBe(401);
  const asNode = { [CLUSTER_HEADER]: secret.httpToken };
  expect((await get(address, "/v1/participant", asNode)).data).toMatchObject({ prepared: 0 });
  const metrics = (await get(address, "/metrics")).data as unknown as string;
  const ours = metrics.split("\n").filter((line) => line.startsWith("synod_"));
  const labels = ours.flatMap((line) => [...line.matchAll(/([a-z_]+)="/g)].map(([, name]) => name));
  expect(labels).toContain("state");
  expect(labels.filter((name) => name !== "state" && name !== "store")).toEqual([]);
}, 30_000);

test("a lost link rolls back what was begun over it", async () => {
  const address = await start();
  await eventually("it is ready", () => ready(address));
  const { hello, channel, connection } = await link(address);
  await fixture.client.query("begin; update items set value = 1 where id = 'a'");
  const request = executeRequest(1, [operation(ADD, 1, "a")], {
    bootId: hello.bootId,
    timeoutMs: 60_000,
  });
  channel.request(request, 60_000).catch(() => undefined);
  const view = async () => (await get(address, "/v1/participant")).data;
  await eventually("the branch runs", async () => (await view())["open"] === 1);
  connection.close();
  await eventually("the branch is gone", async () => (await view())["open"] === 0);
  await fixture.client.query("rollback");
});

test("requests that are none, and hellos of strangers, are refused", async () => {
  const address = await start();
  await eventually("it is ready", () => ready(address));
  await expect(link(address, { clusterId: "other" as never })).rejects.toThrow("cluster test");
  await expect(link(address, { protocol: 99 as never })).rejects.toThrow("not a coordinator");
  const { channel } = await link(address);
  await expect(channel.request({ kind: "drop everything" }, 5_000)).rejects.toThrow(
    "not a request",
  );
  await expect(channel.request({ kind: "abort", gid: "citus_0_1_2" }, 5_000)).rejects.toThrow(
    "no branch",
  );
  expect(fatal).toEqual([]);
});

test("while the database does not answer the participant lives, but is not ready", async () => {
  const proxy = await startTcpProxy(Number(new URL(fixture.url).port));
  const url = throughProxy(fixture.url, proxy);
  await proxy.close();
  const address = await start({ databaseUrl: url });
  expect((await get(address, "/livez")).status).toBe(200);
  const { status, data } = await get(address, "/readyz");
  expect([status, data["ready"]]).toEqual([503, false]);
  await expect(link(address)).rejects.toThrow("waits for its database");
  expect(fatal).toEqual([]);
});

test("a database that goes away makes the participant unready, until it comes back", async () => {
  const proxy = await startTcpProxy(Number(new URL(fixture.url).port));
  const address = await start({ databaseUrl: throughProxy(fixture.url, proxy) });
  await eventually("it is ready", () => ready(address));
  proxy.swallowAnswers();
  proxy.cut();
  await eventually("it is unready", async () => !(await ready(address)), 20_000);
  proxy.cut();
  proxy.mend();
  await eventually("it is ready again", () => ready(address), 20_000);
  await proxy.close();
});

test("a database of another shard ends the process", async () => {
  await start({ shardId: shardId("s2") });
  await eventually("it gives up", () => fatal.length === 1);
  expect(String(fatal[0])).toContain("belongs to shard s1 of cluster test");
});

test("a participant that shuts down is not ready, and turns coordinators away", async () => {
  const address = await start({ drainTimeoutMs: 2_000 });
  await eventually("it is ready", () => ready(address));
  const { hello, channel } = await link(address);
  const request = executeRequest(1, [operation(ADD, 1, "a")], { bootId: hello.bootId });
  const vote = (await channel.request(request, 5_000)) as { xid: Xid };
  const stopping = started.pop()!.stop();
  await eventually("it is unready", async () => !(await ready(address)));
  await expect(link(address)).rejects.toThrow("shutting down");
  const late = executeRequest(2, [operation(ADD, 1, "b")], { bootId: hello.bootId });
  expect(await channel.request(late, 5_000)).toMatchObject({ refusal: { code: "draining" } });
  // What is prepared may still be brought to its end.
  const commit = { kind: "commit", gid: gidOf(1), xid: vote.xid };
  expect(await channel.request(commit, 5_000)).toMatchObject({ kind: "committed" });
  await stopping;
  expect(await fixture.valueOf("a")).toBe("101");
});
