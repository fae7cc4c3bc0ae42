import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { WebSocket } from "ws";
import type { PeerMessage } from "../../coordinator/paxos/message.ts";
import type { PeerMemory } from "../../coordinator/transport/known-peers.ts";
import { afterMessage, NOWHERE, type Position } from "../../coordinator/transport/position.ts";
import { NodeRefused, SocketPeers } from "../../coordinator/transport/socket-peers.ts";
import { freePorts } from "../../demo/ports.ts";
import { ballot, clusterId, nodeId, slot, type NodeId } from "../../shared/model/ids.ts";
import { PROTOCOL_VERSION } from "../../shared/model/protocol.ts";
import { pack, unpack } from "../../shared/runtime/channel-frame.ts";
import { systemRandom } from "../../shared/runtime/clock.ts";
import { closeChannels, closeLater, HOST } from "../support/channels.ts";
import { collectedLog, type CollectedLog } from "../support/collected-log.ts";
import { VolatilePeers } from "../support/volatile-peers.ts";
import { eventually } from "../support/wait.ts";

const cluster = clusterId("bank");
const [one, two, three] = [nodeId(1), nodeId(2), nodeId(3)];

afterEach(closeChannels);

interface Node {
  readonly peers: SocketPeers;
  readonly server: Server;
  readonly log: CollectedLog;
  readonly received: [NodeId, PeerMessage][];
  readonly lost: NodeId[];
  /** Upgrades that this node's server saw. */
  readonly dialled: () => number;
  /** What its memory holds from now on. */
  readonly goBackTo: (position: Position) => void;
  readonly stop: () => void;
  readonly fatal: readonly unknown[];
}

type Addresses = ReadonlyMap<NodeId, string>;

async function group(...ids: NodeId[]): Promise<Addresses> {
  const ports = await freePorts(ids.length);
  return new Map(ids.map((id, index) => [id, `${HOST}:${String(ports[index])}`]));
}

interface Disk {
  readonly storageId?: string;
  readonly holds?: Position;
  readonly memory?: PeerMemory;
}

async function start(
  self: NodeId,
  peers: Addresses,
  { storageId = `disk ${self}`, holds = NOWHERE, memory = new VolatilePeers() }: Disk = {},
): Promise<Node> {
  const server = createServer();
  let upgrades = 0;
  server.on("upgrade", () => (upgrades += 1));
  await once(server.listen(Number(peers.get(self)!.split(":")[1]), HOST), "listening");
  const log = collectedLog();
  const fatal: unknown[] = [];
  const transport = new SocketPeers({
    ...{ clusterId: cluster, self, storageId, memory, peers, server },
    ...{ random: systemRandom, logger: log, onFatal: (error: unknown) => fatal.push(error) },
  });
  const received: [NodeId, PeerMessage][] = [];
  const lost: NodeId[] = [];
  transport.onMessage((from, message) => received.push([from, message]));
  transport.onPeerLost((node) => lost.push(node));
  let held = holds;
  const send = transport.send.bind(transport);
  // What leaves is durable.
  transport.send = (to, message) => {
    held = afterMessage(held, message);
    send(to, message);
  };
  transport.start(() => held);
  const goBackTo = (position: Position): void => {
    held = position;
  };
  const stop = (): void => {
    transport.stop();
    server.close();
  };
  closeLater(stop);
  const seen = { server, log, received, lost, dialled: () => upgrades, fatal };
  return { peers: transport, ...seen, goBackTo, stop };
}

async function startAll(addresses: Addresses): Promise<readonly Node[]> {
  const ids = [...addresses.keys()];
  const nodes = await Promise.all(ids.map((id) => start(id, addresses)));
  await eventually("all are connected", () =>
    nodes.every(({ peers }, index) => ids.every((id) => id === ids[index] || peers.connected(id))),
  );
  return nodes;
}

const probe = (attempt: number): PeerMessage => ({ kind: "probe", attempt });

test("every node reaches every other, over one connection a pair, dialled by the lower id", async () => {
  const nodes = await startAll(await group(one, two, three));
  expect(nodes.map(({ dialled }) => dialled())).toEqual([0, 1, 2]);
  for (const [index, from] of [one, two, three].entries()) {
    for (const to of [one, two, three]) nodes[index]!.peers.send(to, probe(from));
  }
  await eventually("all arrived", () => nodes.every(({ received }) => received.length === 2));
  const senders = nodes.map(({ received }) => received.map(([from]) => from).sort());
  expect(senders).toEqual([
    [2, 3],
    [1, 3],
    [1, 2],
  ]);
  expect(
    nodes[0]!.received.every(
      ([from, message]) => message.kind === "probe" && message.attempt === from,
    ),
  ).toBe(true);
});

test("messages of a pair arrive in order, values as bytes", async () => {
  const [first, second] = await startAll(await group(one, two));
  const value = Uint8Array.from({ length: 1_000 }, (_, index) => index % 256);
  for (let index = 1; index <= 200; index += 1) {
    first!.peers.send(two, {
      kind: "phase2a",
      ballot: ballot(1, one),
      slot: slot(index),
      value,
      chosenUpTo: slot(0),
    });
  }
  await eventually("all arrived", () => second!.received.length === 200);
  second!.received.forEach(([from, message], index) => {
    if (message.kind !== "phase2a") throw new Error(`unexpected ${message.kind}`);
    expect([from, message.slot]).toEqual([one, index + 1]);
    expect(Buffer.compare(message.value, value)).toBe(0);
  });
});

test("a message to a node that is not there, or to oneself, is dropped", async () => {
  const addresses = await group(one, two);
  const alone = await start(one, addresses);
  alone.peers.send(two, probe(1));
  alone.peers.send(one, probe(1));
  alone.peers.send(nodeId(9), probe(1));
  const other = await start(two, addresses);
  await eventually(
    "both are connected",
    () => other.peers.connected(one) && alone.peers.connected(two),
  );
  alone.peers.send(two, probe(2));
  await eventually("the next arrives", () => other.received.length > 0);
  expect(other.received).toEqual([[one, probe(2)]]);
  expect(alone.received).toEqual([]);
});

test.each([
  ["the dialling", one, two],
  ["the dialled", two, one],
])(
  "when %s node ends the other hears of it, and it may come back with its disk",
  async (_, gone, stays) => {
    const addresses = await group(one, two);
    const nodes = new Map(
      await Promise.all([one, two].map(async (id) => [id, await start(id, addresses)] as const)),
    );
    const rest = nodes.get(stays)!;
    await eventually("connected", () => rest.peers.connected(gone));
    nodes.get(gone)!.stop();
    await eventually("lost", () => rest.lost.length > 0);
    expect(rest.lost).toEqual([gone]);
    expect(rest.peers.connected(gone)).toBe(false);
    await start(gone, addresses);
    await eventually("connected again", () => rest.peers.connected(gone));
  },
);

test.each([
  ["the dialling", one, two],
  ["the dialled", two, one],
])(
  "when %s node comes back with another disk, it is refused and must stop",
  async (_, gone, stays) => {
    const addresses = await group(one, two);
    const nodes = new Map(
      await Promise.all([one, two].map(async (id) => [id, await start(id, addresses)] as const)),
    );
    const rest = nodes.get(stays)!;
    await eventually("connected", () => rest.peers.connected(gone));
    nodes.get(gone)!.stop();
    await eventually("lost", () => rest.lost.length > 0);
    const stranger = await start(gone, addresses, { storageId: "an empty disk" });
    const complaint = `error: node ${gone} came back with another disk: give it a new node id`;
    await eventually("refused", () => rest.log.lines.includes(complaint));
    rest.peers.send(gone, probe(1));
    expect(rest.peers.connected(gone)).toBe(false);
    expect(stranger.received).toEqual([]);
    await eventually("it hears why", () => stranger.fatal.length > 0);
    expect(stranger.fatal[0]).toBeInstanceOf(NodeRefused);
    expect(String(stranger.fatal[0])).toContain(
      `node ${stays} refuses this node (its directory was empty when it started): node ${gone} came back`,
    );
    expect(rest.fatal).toEqual([]);
    stranger.stop();
    await start(gone, addresses);
    await eventually("the old disk is welcome", () => rest.peers.connected(gone));
  },
);

const hello = {
  ...{ protocol: PROTOCOL_VERSION, clusterId: "bank", nodeId: 1, storageId: "disk 1" },
  holds: NOWHERE,
};

const vote = (round: number, at: number): PeerMessage => {
  return { kind: "phase2b", ballot: ballot(round, two), slot: slot(at) };
};

test.each([
  ["the dialling", one, two],
  ["the dialled", two, one],
])(
  "when %s node comes back with less than it acknowledged, it is refused and must stop",
  async (_, gone, stays) => {
    const addresses = await group(one, two);
    const rest = await start(stays, addresses);
    const voter = await start(gone, addresses);
    await eventually("connected", () => rest.peers.connected(gone) && voter.peers.connected(stays));
    voter.peers.send(stays, vote(3, 7));
    voter.peers.send(stays, {
      ...vote(4, 1),
      kind: "phase1b",
      fromSlot: slot(1),
      nextSlot: null,
      slots: [],
      truncatedUpTo: slot(0),
    } as PeerMessage);
    await eventually("voted", () => rest.received.length === 2);
    voter.stop();
    for (const [holds, accepted] of [
      [{ promised: ballot(4, two), slot: slot(6) }, false],
      [{ promised: ballot(4, one), slot: slot(7) }, false],
      [{ promised: ballot(4, two), slot: slot(7) }, true],
    ] as const) {
      await eventually("gone", () => !rest.peers.connected(gone));
      const again = await start(gone, addresses, { holds });
      await eventually("judged", () => again.fatal.length > 0 || rest.peers.connected(gone));
      expect(again.fatal.length === 0).toBe(accepted);
      if (!accepted) expect(String(again.fatal[0])).toContain("acknowledged slot 7, ballot 4.2");
      again.stop();
    }
    expect(rest.fatal).toEqual([]);
  },
);

test("a node that stays up may connect again, whatever it has acknowledged since it started", async () => {
  const addresses = await group(one, two);
  const memory = new VolatilePeers();
  const rest = await start(two, addresses, { memory });
  const voter = await start(one, addresses);
  await eventually("connected", () => rest.peers.connected(one) && voter.peers.connected(two));
  voter.peers.send(two, vote(3, 7));
  await eventually("voted", () => rest.received.length === 1);
  rest.stop();
  await eventually("gone", () => !voter.peers.connected(two));
  const restarted = await start(two, addresses, { memory });
  await eventually("connected again", () => restarted.peers.connected(one));
  expect(voter.fatal).toEqual([]);
});

test("who forgot its peers in a restart remembers what it had written down of them", async () => {
  const addresses = await group(one, two);
  const memory = new VolatilePeers();
  const rest = await start(two, addresses, { memory });
  const voter = await start(one, addresses);
  await eventually("connected", () => rest.peers.connected(one) && voter.peers.connected(two));
  voter.peers.send(two, vote(3, 7));
  await eventually("voted", () => rest.received.length === 1);
  voter.stop();
  rest.stop();
  await start(two, addresses, { memory });
  const rolledBack = await start(one, addresses);
  await eventually("refused", () => rolledBack.fatal.length > 0);
  expect(String(rolledBack.fatal[0])).toContain("acknowledged slot 7, ballot 3.2");
});

const heartbeat = (owner: NodeId, beat: number): PeerMessage => {
  return { kind: "heartbeat", ballot: ballot(3, owner), beat, chosenUpTo: slot(0) };
};

test("who lost a vote is recognised by those who only heard of it from the leader, with its next heartbeat", async () => {
  const addresses = await group(one, two, three);
  const [bystander, leader, voter] = await startAll(addresses);
  voter!.peers.send(two, vote(3, 7));
  await eventually("voted", () => leader!.received.length === 1);
  leader!.peers.send(one, heartbeat(two, 1));
  await eventually("the heartbeat arrives", () => bystander!.received.length === 1);
  voter!.stop();
  leader!.stop();
  await eventually("gone", () => bystander!.lost.length === 2);
  const rolledBack = await start(three, addresses);
  await eventually("refused", () => rolledBack.fatal.length > 0);
  expect(String(rolledBack.fatal[0])).toContain(
    "node 1 refuses this node (its directory was empty when it started): " +
      "node 3 acknowledged slot 7, ballot 3.2",
  );
});

test("a leader that lost its own vote is recognised, too", async () => {
  const addresses = await group(one, two);
  const holds = { promised: ballot(3, two), slot: slot(7) };
  const [follower, leader] = await Promise.all([
    start(one, addresses),
    start(two, addresses, { holds }),
  ]);
  await eventually("connected", () => leader.peers.connected(one));
  leader.peers.send(one, heartbeat(two, 1));
  await eventually("the heartbeat arrives", () => follower.received.length === 1);
  leader.stop();
  await eventually("gone", () => follower.lost.length === 1);
  const rolledBack = await start(two, addresses, { holds: { ...holds, slot: slot(6) } });
  await eventually("refused", () => rolledBack.fatal.length > 0);
  expect(String(rolledBack.fatal[0])).toContain("acknowledged slot 7, ballot 3.2");
});

test.each([
  ["the dialling", one, two],
  ["the dialled", two, one],
])(
  "a process of %s node that goes on from an earlier moment of its memory is refused",
  async (_, restored, stays) => {
    const addresses = await group(one, two);
    const memory = new VolatilePeers();
    const rest = await start(stays, addresses, { memory });
    const voter = await start(restored, addresses);
    await eventually("connected", () => rest.peers.connected(restored));
    await eventually("connected", () => voter.peers.connected(stays));
    voter.peers.send(stays, vote(3, 7));
    await eventually("voted", () => rest.received.length === 1);
    rest.stop();
    voter.goBackTo(NOWHERE);
    await start(stays, addresses, { memory });
    await eventually("refused", () => voter.fatal.length > 0);
    expect(String(voter.fatal[0])).toContain("acknowledged slot 7, ballot 3.2");
  },
);

test("what is acknowledged while a hello is on its way is not held against it", async () => {
  const addresses = await group(one, two, three);
  const judge = await start(two, addresses);
  const leader = await start(three, addresses);
  await eventually("connected", () => judge.peers.connected(three));
  expect(await introduce(addresses.get(two)!, hello)).toBeUndefined();
  const slow = await connect(addresses.get(two)!);
  // Node 1 votes elsewhere, and the news of that is faster than its hello.
  const voter = await connect(addresses.get(three)!);
  voter.send(pack(hello));
  await once(voter, "message");
  voter.send(pack([[0, vote(3, 7)]]));
  await eventually("voted", () => leader.received.length === 1);
  leader.peers.send(two, heartbeat(three, 1));
  await eventually("the heartbeat arrives", () => judge.received.length === 1);
  const answer = once(slow, "message");
  slow.send(pack(hello));
  await answer;
  expect(judge.log.lines.filter((line) => line.startsWith("error"))).toEqual([]);
  expect(await introduce(addresses.get(two)!, hello)).toBe(
    "4001 node 1 acknowledged slot 7, ballot 3.2, and came back with slot 0, ballot 0",
  );
});

test("what a node was told already does not go with every heartbeat", async () => {
  const addresses = await group(one, two);
  const leader = await start(two, addresses);
  const follower = await connect(addresses.get(two)!);
  follower.send(pack(hello));
  await once(follower, "message");
  const heard: unknown[] = [];
  follower.on("message", (frame) => {
    const parts = unpack(frame as Buffer) as [number, { readonly kind: string }][];
    heard.push(...parts.map(([, { kind }]) => kind));
  });
  const beat = async (count: number): Promise<void> => {
    const { length } = heard;
    leader.peers.send(one, heartbeat(two, count));
    await eventually("the heartbeat arrives", () => heard.length > length);
  };
  await beat(1);
  await beat(2);
  follower.send(pack([[0, vote(3, 7)]]));
  await eventually("voted", () => leader.received.length === 1);
  await beat(3);
  await beat(4);
  expect(heard).toEqual([
    ...["acknowledged", "heartbeat", "heartbeat"],
    ...["acknowledged", "heartbeat", "heartbeat"],
  ]);
});

test("one disk under two node ids is refused for good", async () => {
  const addresses = await group(one, two, three);
  const node = await start(three, addresses);
  const as = (id: number, storageId: string): unknown => ({ ...hello, nodeId: id, storageId });
  const address = addresses.get(three)!;
  expect(await introduce(address, as(1, "disk 1"))).toBeUndefined();
  expect(await introduce(address, as(2, "disk 1"))).toBe(
    "4001 node 2 shows the disk of node 1: give it an empty one",
  );
  expect(await introduce(address, as(2, "disk 3"))).toBe(
    "4001 node 2 shows the disk of node 3: give it an empty one",
  );
  expect(node.fatal).toEqual([]);
});

test("a disk that cannot be remembered is not accepted, and the node must stop", async () => {
  const addresses = await group(one, two);
  const memory = new VolatilePeers();
  memory.saveNow = () => {
    throw new Error("the disk is full");
  };
  const node = await start(two, addresses, { memory });
  expect(await introduce(addresses.get(two)!, hello)).toBe("4000 the disk of this node has failed");
  expect(String(node.fatal[0])).toContain("the disk is full");
});

async function connect(address: string): Promise<WebSocket> {
  const socket = new WebSocket(`ws://${address}/peer`);
  closeLater(() => {
    socket.terminate();
  });
  await once(socket, "open");
  return socket;
}

/** Says hello as whoever, and answers how the node takes it: the close reason, or undefined when it is let in. */
async function introduce(address: string, as: unknown): Promise<string | undefined> {
  const socket = await connect(address);
  const answer = new Promise<string | undefined>((resolve) => {
    socket.once("message", () => {
      resolve(undefined);
    });
    socket.once("close", (code, reason) => {
      resolve(`${code} ${reason.toString()}`);
    });
  });
  socket.send(pack(as));
  return answer;
}

test.each([
  ["another cluster", { ...hello, clusterId: "shop" }, "4000 this is cluster bank"],
  ["a node that is not in the group", { ...hello, nodeId: 9 }, "4000 node 9 is no peer of node 2"],
  ["the node itself", { ...hello, nodeId: 2 }, "4000 node 2 is no peer of node 2"],
  [
    "a node that should be dialled",
    { ...hello, nodeId: 3 },
    "4000 node 2 dials node 3, not the other way",
  ],
  [
    "another protocol version",
    { ...hello, protocol: 99 },
    "4000 no hello of this protocol version",
  ],
  ["a hello without a disk", { ...hello, storageId: "" }, "4000 no hello of this protocol version"],
  ["no hello at all", 7, "4000 no hello of this protocol version"],
])("%s is refused with a sentence", async (_, as, sentence) => {
  const addresses = await group(one, two, three);
  const node = await start(two, addresses);
  expect(await introduce(addresses.get(two)!, as)).toBe(sentence);
  expect([one, three].some((id) => node.peers.connected(id))).toBe(false);
  expect(node.log.lines).toContain(`error: ${sentence.slice(5)}`);
});

test("the same complaint is logged once, however often it is provoked", async () => {
  const addresses = await group(one, two);
  const node = await start(two, addresses);
  for (let count = 0; count < 3; count += 1) {
    await introduce(addresses.get(two)!, { ...hello, clusterId: "shop" });
  }
  expect(node.log.lines).toEqual(["error: this is cluster bank"]);
});

test("a message that breaks the protocol ends the connection and never reaches the core", async () => {
  const addresses = await group(one, two);
  const node = await start(two, addresses);
  const socket = await connect(addresses.get(two)!);
  socket.send(pack(hello));
  await once(socket, "message");
  const closed = once(socket, "close");
  socket.send(
    pack([
      [0, { kind: "phase2b", ballot: "high", slot: 1 }],
      [0, probe(1)],
    ]),
  );
  await closed;
  expect(node.received).toEqual([]);
  await eventually("noticed", () => node.lost.length === 1);
});

test("a second connection of the same node takes the place of the first, which nobody mourns", async () => {
  const addresses = await group(one, two);
  const node = await start(two, addresses);
  expect(await introduce(addresses.get(two)!, hello)).toBeUndefined();
  await eventually("connected", () => node.peers.connected(one));
  const real = await start(one, addresses);
  await eventually("the real one is connected", () => real.peers.connected(two));
  node.peers.send(one, probe(1));
  await eventually("reached over the new connection", () => real.received.length === 1);
  expect(node.lost).toEqual([]);
});
