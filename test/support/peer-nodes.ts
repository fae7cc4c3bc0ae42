/** Peer transports on real sockets, their disks and what they hold in the test's hand. */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { WebSocket } from "ws";
import type { PeerMessage } from "../../coordinator/paxos/message.ts";
import type { PeerMemory } from "../../coordinator/transport/known-peers.ts";
import { afterMessage, NOWHERE, type Position } from "../../coordinator/transport/position.ts";
import { SocketPeers } from "../../coordinator/transport/socket-peers.ts";
import { freePorts } from "../../demo/ports.ts";
import { clusterId, nodeId, type NodeId } from "../../shared/model/ids.ts";
import { PROTOCOL_VERSION } from "../../shared/model/protocol.ts";
import { systemRandom } from "../../shared/runtime/clock.ts";
import { closeLater, HOST, introduction } from "./channels.ts";
import { collectedLog, type CollectedLog } from "./collected-log.ts";
import { VolatilePeers } from "./volatile-peers.ts";
import { eventually } from "./wait.ts";

const cluster = clusterId("bank");
export const [one, two, three] = [nodeId(1), nodeId(2), nodeId(3)];

export interface Node {
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

export type Addresses = ReadonlyMap<NodeId, string>;

export async function group(...ids: NodeId[]): Promise<Addresses> {
  const ports = await freePorts(ids.length);
  return new Map(ids.map((id, index) => [id, `${HOST}:${String(ports[index])}`]));
}

interface Disk {
  readonly storageId?: string;
  readonly holds?: Position;
  readonly memory?: PeerMemory;
}

export async function start(
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
    ...{
      secret: undefined,
      random: systemRandom,
      logger: log,
      onFatal: (error: unknown) => fatal.push(error),
    },
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

export async function startAll(addresses: Addresses): Promise<readonly Node[]> {
  const ids = [...addresses.keys()];
  const nodes = await Promise.all(ids.map((id) => start(id, addresses)));
  await eventually("all are connected", () =>
    nodes.every(({ peers }, index) => ids.every((id) => id === ids[index] || peers.connected(id))),
  );
  return nodes;
}

export const hello = {
  ...{ protocol: PROTOCOL_VERSION, clusterId: "bank", nodeId: 1, storageId: "disk 1" },
  holds: NOWHERE,
};

export async function connect(address: string): Promise<WebSocket> {
  const socket = new WebSocket(`ws://${address}/peer`);
  closeLater(() => {
    socket.terminate();
  });
  await once(socket, "open");
  return socket;
}

/** Says hello as whoever, and answers how the node takes it: the close reason, or undefined when it is let in. */
export async function introduce(address: string, as: unknown): Promise<string | undefined> {
  const socket = await connect(address);
  const answer = new Promise<string | undefined>((resolve) => {
    socket.once("message", () => {
      resolve(undefined);
    });
    socket.once("close", (code, reason) => {
      resolve(`${code} ${reason.toString()}`);
    });
  });
  socket.send(introduction(as));
  return answer;
}
