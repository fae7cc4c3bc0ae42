/**
 * PeerTransport over channels: one WebSocket per pair, dialled by the node with the lower id. A hello binds the connection to a
 * cluster, a node, the disk behind it and what that disk holds: a node that comes back with another disk under its old id, or
 * with less than it has acknowledged, has forgotten its promises (known-peers.ts). Whichever side finds that of the other
 * refuses it for good, and the one that is refused must stop.
 */
import type { Server } from "node:http";
import { z } from "zod";
import { assert } from "../../shared/model/assert.ts";
import type { ClusterId, NodeId } from "../../shared/model/ids.ts";
import type { Logger, Random } from "../../shared/model/ports.ts";
import { PROTOCOL_VERSION } from "../../shared/model/protocol.ts";
import {
  connectChannel,
  REFUSED_FOR_GOOD,
  serveChannels,
  type Connection,
  type HelloRefusal,
  type HelloVerdict,
} from "../../shared/runtime/channel-ends.ts";
import type { Channel } from "../../shared/runtime/channel.ts";
import type { NodeTls } from "../../shared/runtime/node-certificate.ts";
import type { ClusterSecret } from "../../shared/runtime/cluster-secret.ts";
import type { PeerMessage } from "../paxos/message.ts";
import { KnownPeers, type PeerMemory } from "./known-peers.ts";
import { parsePeerMessage } from "./peer-message.ts";
import type { PeerTransport } from "./peer-transport.ts";
import { afterMessage, NOWHERE, type Position } from "./position.ts";

const PeerHello = z.strictObject({
  protocol: z.literal(PROTOCOL_VERSION),
  clusterId: z.string(),
  nodeId: z.int(),
  storageId: z.string().min(1),
  /** Names this process of the node. */
  bootId: z.string().min(1),
  /** What the disk held when it started. */
  holds: z.strictObject({ promised: z.int().min(0), slot: z.int().min(0) }),
});
type PeerHello = z.infer<typeof PeerHello>;

/** What this node has lost cannot be had again under its id. */
export class NodeRefused extends Error {
  override readonly name = "NodeRefused";

  constructor(what: string) {
    super(
      `${what}. A node that has lost what it acknowledged must not vote. Bring its own, newest disk back; or replace it ` +
        `by a node with a new id on an empty directory, in the order that "Replacing a node" in README.md gives.`,
    );
  }
}

export interface SocketPeersOptions {
  readonly clusterId: ClusterId;
  readonly self: NodeId;
  /** Names the disk of this node (log-store.ts). */
  readonly storageId: string;
  readonly memory: PeerMemory;
  /** This node must stop: a peer will never take it as it is (NodeRefused), or `memory` has failed. */
  readonly onFatal: (error: unknown) => void;
  /** host:port of every node, this one included. */
  readonly peers: ReadonlyMap<NodeId, string>;
  readonly server: Server;
  readonly secret: ClusterSecret | undefined;
  readonly tls?: NodeTls | undefined;
  readonly random: Random;
  readonly logger: Logger;
}

export class SocketPeers implements PeerTransport {
  readonly #options: SocketPeersOptions;
  readonly #channels = new Map<NodeId, Channel>();
  /**
   * A replica says all it has to say in one go, so its messages leave when that has ended: before its disk is asked to write, and
   * a turn of the event loop earlier than at the end of the tick.
   */
  readonly #gathering = new Set<Channel>();
  readonly #known: KnownPeers;
  readonly #complaints = new Map<string, string>();
  readonly #bootId: string;
  #holds: Position | undefined;
  #connections: Connection[] = [];
  #stopServing: () => void = () => undefined;
  #receive: (from: NodeId, message: PeerMessage) => void = () => undefined;
  #peerLost: (node: NodeId) => void = () => undefined;

  constructor(options: SocketPeersOptions) {
    this.#options = options;
    const { self, storageId, memory, random } = options;
    this.#known = new KnownPeers({ node: self, storageId }, memory);
    this.#bootId = random.token(16);
  }

  onMessage(receive: (from: NodeId, message: PeerMessage) => void): void {
    this.#receive = receive;
  }

  onPeerLost(notify: (node: NodeId) => void): void {
    this.#peerLost = notify;
  }

  send(to: NodeId, message: PeerMessage): void {
    const channel = this.#channels.get(to);
    if (channel === undefined) return;
    channel.gather(message);
    this.#gathering.add(channel);
    if (this.#gathering.size === 1) queueMicrotask(this.#flush);
  }

  readonly #flush = (): void => {
    for (const channel of this.#gathering) channel.flush();
    this.#gathering.clear();
  };

  connected(node: NodeId): boolean {
    return this.#channels.has(node);
  }

  /** `holds`: what this node has recovered, before it gave or took any vote. */
  start(holds: Position): void {
    this.#holds = holds;
    const { server, peers, self, secret, tls } = this.#options;
    this.#stopServing = serveChannels({
      ...{ server, secret, tls },
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
    assert(this.#holds !== undefined, "a node says what it holds once it has recovered");
    return {
      ...{ protocol: PROTOCOL_VERSION, clusterId, nodeId: self, storageId },
      ...{ bootId: this.#bootId, holds: this.#holds },
    };
  }

  #dial(node: NodeId, address: string): Connection {
    const { random, logger, secret, tls } = this.#options;
    return connectChannel({
      secret,
      url: `${tls === undefined ? "ws" : "wss"}://${address}/peer`,
      tls: tls?.dial("coordinator", String(node)),
      hello: this.#hello(),
      random,
      acceptReply: (reply) => {
        const refusal = this.#refusal(reply, node);
        if (refusal === undefined) return true;
        this.#complain(address, refusal.sentence);
        return refusal;
      },
      onUp: (channel) => {
        this.#attach(channel, node);
      },
      onDown: () => undefined,
      onRefused: (sentence, forGood) => {
        this.#refused(node, address, sentence, forGood);
      },
      onFailed: (sentence) => {
        logger.debug({ node, address }, sentence);
      },
    });
  }

  #judge(hello: unknown): HelloVerdict {
    const refusal = this.#refusal(hello, undefined);
    if (refusal === undefined) return { accept: true, reply: this.#hello() };
    this.#complain("incoming", refusal.sentence);
    return refusal;
  }

  #refused(by: NodeId, who: string, sentence: string, forGood: boolean): void {
    if (!forGood) {
      this.#complain(who, `refused by a peer: ${sentence}`);
      return;
    }
    const { slot, promised } = this.#holds ?? NOWHERE;
    const isEmpty = slot === NOWHERE.slot && promised === NOWHERE.promised;
    const state = isEmpty ? " (its directory was empty when it started)" : "";
    this.#options.onFatal(new NodeRefused(`node ${by} refuses this node${state}: ${sentence}`));
  }

  /** Once, until the complaint changes: whoever is refused tries again every second. */
  #complain(who: string, sentence: string): void {
    if (this.#complaints.get(who) === sentence) return;
    this.#complaints.set(who, sentence);
    this.#options.logger.error({ who }, sentence);
  }

  /** Why this hello is not accepted; undefined when it is. */
  #refusal(hello: unknown, expected: NodeId | undefined): HelloRefusal | undefined {
    const { data } = PeerHello.safeParse(hello);
    if (data === undefined) return { accept: false, sentence: "no hello of this protocol version" };
    const stranger = this.#strangeness(data, expected);
    if (stranger !== undefined) return { accept: false, sentence: stranger };
    const introduction = { ...data, holds: data.holds as Position };
    try {
      const loss = this.#known.meet(data.nodeId as NodeId, introduction);
      return loss === undefined ? undefined : { accept: false, sentence: loss, forGood: true };
    } catch (error) {
      this.#options.onFatal(error);
      return { accept: false, sentence: "the disk of this node has failed" };
    }
  }

  #strangeness(hello: PeerHello, expected: NodeId | undefined): string | undefined {
    const { clusterId, peers, self } = this.#options;
    const node = hello.nodeId as NodeId;
    if (hello.clusterId !== clusterId) return `this is cluster ${clusterId}`;
    if (!peers.has(node) || node === self) return `node ${node} is no peer of node ${self}`;
    if (expected !== undefined && node !== expected) return `node ${node} answers for ${expected}`;
    if (expected === undefined && node > self) {
      return `node ${self} dials node ${node}, not the other way`;
    }
    return undefined;
  }

  #attach(channel: Channel, node: NodeId): void {
    const previous = this.#channels.get(node);
    this.#channels.set(node, channel);
    previous?.close();
    channel.onMessage((body) => {
      const message = parsePeerMessage(body, node);
      if (message !== undefined) {
        this.#known.acknowledges(node, (position) => afterMessage(position, message));
        this.#receive(node, message);
        return;
      }
      this.#options.logger.error({ node }, "a message breaks the protocol: hanging up");
      channel.close();
    });
    channel.onClose((sentence, code) => {
      if (code === REFUSED_FOR_GOOD) this.#refused(node, "incoming", sentence, true);
      if (this.#channels.get(node) !== channel) return;
      this.#channels.delete(node);
      this.#peerLost(node);
    });
  }
}
