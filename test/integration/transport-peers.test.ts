/** Who is connected with whom, who is let in, and what arrives. */
import { once } from "node:events";
import type { PeerMessage } from "../../coordinator/paxos/message.ts";
import { NodeRefused } from "../../coordinator/transport/socket-peers.ts";
import { ballot, nodeId, slot } from "../../shared/model/ids.ts";
import { pack } from "../../shared/runtime/channel-frame.ts";
import { closeChannels, introduction } from "../support/channels.ts";
import {
  connect,
  group,
  hello,
  introduce,
  one,
  start,
  startAll,
  three,
  two,
} from "../support/peer-nodes.ts";
import { VolatilePeers } from "../support/volatile-peers.ts";
import { eventually } from "../support/wait.ts";

afterEach(closeChannels);

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
  socket.send(introduction(hello));
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
