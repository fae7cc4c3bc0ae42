/** What nodes have acknowledged, who hears of it, and what it is worth when one of them connects again. */
import { once } from "node:events";
import type { PeerMessage } from "../../coordinator/paxos/message.ts";
import { NOWHERE } from "../../coordinator/transport/position.ts";
import { ballot, slot, type NodeId } from "../../shared/model/ids.ts";
import { pack, unpack } from "../../shared/runtime/channel-frame.ts";
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

const vote = (round: number, at: number): PeerMessage => {
  return { kind: "phase2b", ballot: ballot(round, two), slot: slot(at) };
};

const heartbeat = (owner: NodeId, beat: number): PeerMessage => {
  return { kind: "heartbeat", ballot: ballot(3, owner), beat, chosenUpTo: slot(0) };
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
  voter.send(introduction(hello));
  await once(voter, "message");
  voter.send(pack([[0, vote(3, 7)]]));
  await eventually("voted", () => leader.received.length === 1);
  leader.peers.send(two, heartbeat(three, 1));
  await eventually("the heartbeat arrives", () => judge.received.length === 1);
  const answer = once(slow, "message");
  slow.send(introduction(hello));
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
  follower.send(introduction(hello));
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
