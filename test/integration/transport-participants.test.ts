import { LinkDown, LinkLost } from "../../coordinator/transport/participant-link.ts";
import { SocketParticipants } from "../../coordinator/transport/socket-participants.ts";
import { freePorts } from "../../demo/ports.ts";
import {
  ballot,
  carrierId,
  clusterId,
  nodeId,
  shardId,
  type ShardId,
} from "../../shared/model/ids.ts";
import { globalId } from "../../shared/model/global-id.ts";
import {
  CoordinatorHello,
  PROTOCOL_VERSION,
  type ListRequest,
  type ParticipantHello,
} from "../../shared/model/protocol.ts";
import type { Channel } from "../../shared/runtime/channel.ts";
import { systemRandom } from "../../shared/runtime/clock.ts";
import { closeChannels, closeLater, HOST, serve, type Listening } from "../support/channels.ts";
import { collectedLog } from "../support/collected-log.ts";
import { eventually } from "../support/wait.ts";

const cluster = clusterId("bank");
const self = nodeId(1);
const shard = shardId("s1");
const list: ListRequest = { kind: "list", ballot: ballot(1, self) };
const gid = globalId(cluster, carrierId(ballot(1, self), 1), shard);

afterEach(closeChannels);

const hello: ParticipantHello = {
  protocol: PROTOCOL_VERSION,
  clusterId: cluster,
  shard,
  bootId: "boot 1",
  maxBranches: 10,
};

type Answer = (body: unknown) => Promise<unknown>;
const never: Answer = () => new Promise(() => undefined);

interface Participant extends Listening {
  readonly hellos: unknown[];
  readonly requests: unknown[];
}

async function participant(answer: Answer, port = 0, as: unknown = hello): Promise<Participant> {
  const hellos: unknown[] = [];
  const requests: unknown[] = [];
  const listening = await serve(
    (channel: Channel) => {
      channel.onRequest((body) => {
        requests.push(body);
        return answer(body);
      });
    },
    {
      acceptHello: () => (received) => {
        hellos.push(received);
        return { accept: true, reply: as };
      },
    },
    port,
  );
  return { ...listening, hellos, requests };
}

interface Links {
  readonly links: SocketParticipants;
  readonly log: readonly string[];
  /** After each change: the incarnation that is connected, or `down`. */
  readonly changes: string[];
}

function connect(...ports: number[]): Links {
  const { lines, ...logger } = collectedLog();
  const participants = new Map(
    ports.map((port, index): [ShardId, string] => [shardId(`s${index + 1}`), `${HOST}:${port}`]),
  );
  const options = {
    clusterId: cluster,
    self,
    participants,
    secret: undefined,
    random: systemRandom,
  };
  const links = new SocketParticipants({ ...options, logger });
  const changes: string[] = [];
  links.onChange((changed) => changes.push(links.connected(changed)?.bootId ?? "down"));
  links.start();
  closeLater(() => {
    links.stop();
  });
  return { links, log: lines, changes };
}

test("each side learns who the other is", async () => {
  const { port, hellos } = await participant(never);
  const { links, changes } = connect(port);
  expect(links.shards).toEqual([shard]);
  expect(links.connected(shard)).toBeUndefined();
  await eventually("connected", () => changes.length > 0);
  expect(links.connected(shard)).toEqual(hello);
  expect(hellos.map((received) => CoordinatorHello.parse(received).nodeId)).toEqual([self]);
});

test("a request brings back its reply, checked", async () => {
  const branches = [{ gid, carrierId: carrierId(ballot(1, self), 1), xid: "7" }];
  const { port, requests } = await participant(() =>
    Promise.resolve({ kind: "prepared", branches }),
  );
  const { links, changes } = connect(port);
  await eventually("connected", () => changes.length > 0);
  expect(await links.request(shard, list, 5_000)).toEqual({ kind: "prepared", branches });
  expect(requests).toEqual([list]);
});

test("without a connection a request is known not to be sent", async () => {
  const [port] = await freePorts(1);
  const { links } = connect(port!);
  await expect(links.request(shard, list, 5_000)).rejects.toThrow(LinkDown);
  await expect(links.request(shardId("s9"), list, 5_000)).rejects.toThrow(LinkDown);
});

test("a request under way is lost with its connection, and is never sent again", async () => {
  const first = await participant(never);
  const { links, changes } = connect(first.port);
  await eventually("connected", () => changes.length > 0);
  const lost = links
    .request(shard, { kind: "abort", gid }, 60_000)
    .catch((error: unknown) => error);
  await eventually("it arrived", () => first.requests.length === 1);
  first.accepted[0]!.close();
  expect(await lost).toBeInstanceOf(LinkLost);
  await eventually("connected again", () => first.accepted.length === 2);
  await eventually("told of both", () => changes.length === 3);
  expect(changes).toEqual(["boot 1", "down", "boot 1"]);
  await links.request(shard, list, 100).catch(() => undefined);
  expect(first.requests).toEqual([{ kind: "abort", gid }, list]);
});

test("a request whose deadline passes is lost, not undone", async () => {
  const { port } = await participant(never);
  const { links, changes } = connect(port);
  await eventually("connected", () => changes.length > 0);
  await expect(links.request(shard, list, 50)).rejects.toThrow(LinkLost);
  expect(links.connected(shard)).toBeDefined();
});

test("a participant that fails at a request leaves its fate unknown", async () => {
  const { port } = await participant(() => Promise.reject(new Error("the shard is on fire")));
  const { links, changes } = connect(port);
  await eventually("connected", () => changes.length > 0);
  const error = await links.request(shard, list, 5_000).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(LinkLost);
  expect(String(error)).toContain("the shard is on fire");
});

test.each([
  ["of another request", { kind: "aborted" }],
  ["with a broken field", { kind: "prepared", branches: [{ gid, xid: "seven" }] }],
  ["that is nothing", undefined],
])("a reply %s leaves the request's fate unknown", async (_, reply) => {
  const { port } = await participant(() => Promise.resolve(reply));
  const { links, changes, log } = connect(port);
  await eventually("connected", () => changes.length > 0);
  await expect(links.request(shard, list, 5_000)).rejects.toThrow(LinkLost);
  expect(log).toContain("error: a reply breaks the protocol");
});

test("a participant that starts anew is another incarnation", async () => {
  const first = await participant(never);
  const { links, changes } = connect(first.port);
  await eventually("connected", () => changes.length === 1);
  first.stop();
  first.server.close();
  await eventually("down", () => changes.includes("down"));
  expect(links.connected(shard)).toBeUndefined();
  await participant(never, first.port, { ...hello, bootId: "boot 2" });
  await eventually("up again", () => changes.length === 3);
  expect(changes).toEqual(["boot 1", "down", "boot 2"]);
});

test.each([
  ["another shard", { ...hello, shard: "s2" }],
  ["another cluster", { ...hello, clusterId: "shop" }],
  ["another protocol version", { ...hello, protocol: 99 }],
  ["nobody", null],
])("an address where %s answers never counts as connected", async (_, as) => {
  const { port, accepted } = await participant(never, 0, as);
  const { links, changes, log } = connect(port);
  await eventually("tried twice", () => accepted.length >= 2);
  expect(links.connected(shard)).toBeUndefined();
  expect(changes).toEqual([]);
  const complaints = log.filter((line) => line.startsWith("warn"));
  expect(complaints).toEqual(["warn: this address is not the participant of this shard"]);
});

test("each shard has a link of its own", async () => {
  const here = await participant(() => Promise.resolve({ kind: "prepared", branches: [] }));
  const there = await participant(never, 0, { ...hello, shard: "s2" });
  const { links, changes } = connect(here.port, there.port);
  await eventually("both are connected", () => changes.length === 2);
  there.stop();
  await eventually("one is down", () => links.connected(shardId("s2")) === undefined);
  expect(await links.request(shard, list, 5_000)).toEqual({ kind: "prepared", branches: [] });
});
