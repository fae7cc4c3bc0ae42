/**
 * PeerTransport over channels: one WebSocket per pair, dialled by the node with the lower id. A hello binds the connection to a
 * cluster, a node and the disk behind it: a node that comes back with another disk under its old id has forgotten its
 * promises, and is refused.
 */
import type { Server } from "node:http";
import { z } from "zod";
import type { ClusterId, NodeId } from "../../shared/model/ids.ts";
import type { Logger, Random } from "../../shared/model/ports.ts";
import { PROTOCOL_VERSION } from "../../shared/model/protocol.ts";
import {
  connectChannel,
  serveChannels,
  type Connection,
  type HelloVerdict,
} from "../../shared/runtime/channel-ends.ts";
import type { Channel } from "../../shared/runtime/channel.ts";
import type { PeerMessage } from "../paxos/message.ts";
import { parsePeerMessage } from "./peer-message.ts";
import type { PeerTransport } from "./peer-transport.ts";

const PeerHello = z.strictObject({
  protocol: z.literal(PROTOCOL_VERSION),
  clusterId: z.string(),
  nodeId: z.int(),
  storageId: z.string().min(1),
});
type PeerHello = z.infer<typeof PeerHello>;

export interface SocketPeersOptions {
  readonly clusterId: ClusterId;
  readonly self: NodeId;
  /** Names the disk of this node (log-store.ts). */
  readonly storageId: string;
  /** host:port of every node, this one included. */
  readonly peers: ReadonlyMap<NodeId, string>;
  readonly server: Server;
  readonly random: Random;
  readonly logger: Logger;
}

export class SocketPeers implements PeerTransport {
  readonly #options: SocketPeersOptions;
  readonly #channels = new Map<NodeId, Channel>();
  readonly #storageOf = new Map<NodeId, string>();
  readonly #complaints = new Map<string, string>();
  #connections: Connection[] = [];
  #stopServing: () => void = () => undefined;
  #receive: (from: NodeId, message: PeerMessage) => void = () => undefined;
  #peerLost: (node: NodeId) => void = () => undefined;

  constructor(options: SocketPeersOptions) {
    this.#options = options;
  }

  onMessage(receive: (from: NodeId, message: PeerMessage) => void): void {
    this.#receive = receive;
  }

  onPeerLost(notify: (node: NodeId) => void): void {
    this.#peerLost = notify;
  }

  send(to: NodeId, message: PeerMessage): void {
    this.#channels.get(to)?.send(message);
  }

  connected(node: NodeId): boolean {
    return this.#channels.has(node);
  }

  start(): void {
    const { server, peers, self } = this.#options;
    this.#stopServing = serveChannels({
      server,
      path: "/peer",
      acceptHello: (hello) => this.#judge(hello),
      onChannel: (channel, hello) => {
        this.#attach(channel, PeerHello.parse(hello).nodeId as NodeId);
      },
    });
    this.#connections = [...peers]
      .filter(([node]) => node > self)
      .map(([node, address]) => this.#dial(node, address));
  }

  stop(): void {
    for (const connection of this.#connections) connection.close();
    this.#stopServing();
  }

  #hello(): PeerHello {
    const { clusterId, self, storageId } = this.#options;
    return { protocol: PROTOCOL_VERSION, clusterId, nodeId: self, storageId };
  }

  #dial(node: NodeId, address: string): Connection {
    const { random, logger } = this.#options;
    return connectChannel({
      url: `ws://${address}/peer`,
      hello: this.#hello(),
      random,
      acceptReply: (reply) => {
        const refusal = this.#refusal(reply, node);
        if (refusal !== undefined) this.#complain(address, refusal);
        return refusal === undefined;
      },
      onUp: (channel) => {
        this.#attach(channel, node);
      },
      onDown: () => undefined,
      onRefused: (sentence) => {
        this.#complain(address, `refused by a peer: ${sentence}`);
      },
      onFailed: (sentence) => {
        logger.debug({ node, address }, sentence);
      },
    });
  }

  #judge(hello: unknown): HelloVerdict {
    const refusal = this.#refusal(hello, undefined);
    if (refusal === undefined) return { accept: true, reply: this.#hello() };
    this.#complain("incoming", refusal);
    return { accept: false, sentence: refusal };
  }

  /** Once, until the complaint changes: whoever is refused tries again every second. */
  #complain(who: string, sentence: string): void {
    if (this.#complaints.get(who) === sentence) return;
    this.#complaints.set(who, sentence);
    this.#options.logger.error({ who }, sentence);
  }

  /** Why this hello is not accepted, as a sentence; undefined when it is. */
  #refusal(hello: unknown, expected: NodeId | undefined): string | undefined {
    const { clusterId, peers, self } = this.#options;
    const parsed = PeerHello.safeParse(hello);
    if (!parsed.success) return "no hello of this protocol version";
    const { nodeId: node, storageId } = parsed.data;
    if (parsed.data.clusterId !== clusterId) return `this is cluster ${clusterId}`;
    if (!peers.has(node as NodeId) || node === self)
      return `node ${node} is no peer of node ${self}`;
    if (expected !== undefined && node !== expected) return `node ${node} answers for ${expected}`;
    if (expected === undefined && node > self)
      return `node ${self} dials node ${node}, not the other way`;
    const known = this.#storageOf.get(node as NodeId);
    if (known !== undefined && known !== storageId) {
      return `node ${node} came back with another disk: give it a new node id`;
    }
    this.#storageOf.set(node as NodeId, storageId);
    return undefined;
  }

  #attach(channel: Channel, node: NodeId): void {
    const previous = this.#channels.get(node);
    this.#channels.set(node, channel);
    previous?.close();
    channel.onMessage((body) => {
      const message = parsePeerMessage(body, node);
      if (message !== undefined) {
        this.#receive(node, message);
        return;
      }
      this.#options.logger.error({ node }, "a message breaks the protocol: hanging up");
      channel.close();
    });
    channel.onClose(() => {
      if (this.#channels.get(node) !== channel) return;
      this.#channels.delete(node);
      this.#peerLost(node);
    });
  }
}
