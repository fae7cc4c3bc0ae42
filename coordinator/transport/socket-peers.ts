/**
 * PeerTransport over channels: one WebSocket per pair, dialled by the node with the lower id. A hello binds the connection to a
 * cluster, a node, the disk behind it and what that disk holds: a node that comes back with another disk under its old id, or
 * with less than it has acknowledged, has forgotten its promises (known-peers.ts). Whichever side finds that of the other
 * refuses it for good, and the one that is refused must stop. With a heartbeat goes what everybody has acknowledged, unless
 * the peer was told that already (acknowledgements.ts).
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
import { acknowledgementsOf, parseAcknowledgements } from "./acknowledgements.ts";
import { KnownPeers, type PeerMemory, type Positions } from "./known-peers.ts";
import { parsePeerMessage } from "./peer-message.ts";
import type { PeerTransport } from "./peer-transport.ts";
import { afterMessage, NOWHERE, together, type Position } from "./position.ts";

const PeerHello = z.strictObject({
  protocol: z.literal(PROTOCOL_VERSION),
  clusterId: z.string(),
  nodeId: z.int(),
  storageId: z.string().min(1),
  /** What the node holds for certain now. */
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
  /** What each channel's peer was last told: of the others, and of this node. */
  readonly #told = new WeakMap<Channel, { readonly others: Positions; readonly own: Position }>();
  #holds: (() => Position) | undefined;
  #startedWith = NOWHERE;
  #connections: Connection[] = [];
  #stopServing: () => void = () => undefined;
  #receive: (from: NodeId, message: PeerMessage) => void = () => undefined;
  #peerLost: (node: NodeId) => void = () => undefined;

  constructor(options: SocketPeersOptions) {
    this.#options = options;
    const { self, storageId, memory } = options;
    this.#known = new KnownPeers({ node: self, storageId }, memory);
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
    if (message.kind === "heartbeat") this.#tellAcknowledged(channel);
    channel.gather(message);
    this.#gathering.add(channel);
    if (this.#gathering.size === 1) queueMicrotask(this.#flush);
  }

  #tellAcknowledged(channel: Channel): void {
    const [others, own] = [this.#known.acknowledged(), this.#held()];
    const told = this.#told.get(channel);
    if (told?.others === others && told.own === own) return;
    const members = [...others].filter(([node]) => this.#options.peers.has(node));
    const body = acknowledgementsOf(new Map([...members, [this.#options.self, own]]));
    if (channel.gather(body)) this.#told.set(channel, { others, own });
  }

  #acknowledged(positions: Positions): void {
    for (const [node, position] of positions) {
      this.#known.acknowledges(node, (known) => together(known, position));
    }
  }

  readonly #flush = (): void => {
    for (const channel of this.#gathering) channel.flush();
    this.#gathering.clear();
  };

  connected(node: NodeId): boolean {
    return this.#channels.has(node);
  }

  /** `holds`: what this node has recovered, and all that it has acknowledged since; the same object while that is so. */
  start(holds: () => Position): void {
    this.#holds = holds;
    this.#startedWith = holds();
    const { server, peers, self, secret, tls } = this.#options;
    this.#stopServing = serveChannels({
      ...{ server, secret, tls },
      path: "/peer",
      acceptHello: () => {
        const before = this.#known.acknowledged();
        return (hello) => this.#judge(hello, before);
      },
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

  #held(): Position {
    assert(this.#holds !== undefined, "a node says what it holds once it has recovered");
    return this.#holds();
  }

  #hello(): PeerHello {
    const { clusterId, self, storageId } = this.#options;
    const holds = this.#held();
    return { protocol: PROTOCOL_VERSION, clusterId, nodeId: self, storageId, holds };
  }

  #dial(node: NodeId, address: string): Connection {
    const { random, logger, secret, tls } = this.#options;
    let before: Positions = new Map();
    return connectChannel({
      secret,
      url: `${tls === undefined ? "ws" : "wss"}://${address}/peer`,
      tls: tls?.dial("coordinator", String(node)),
      hello: () => {
        before = this.#known.acknowledged();
        return this.#hello();
      },
      random,
      acceptReply: (reply) => {
        const refusal = this.#refusal(reply, node, before);
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

  #judge(hello: unknown, before: Positions): HelloVerdict {
    const refusal = this.#refusal(hello, undefined, before);
    if (refusal === undefined) return { accept: true, reply: this.#hello() };
    this.#complain("incoming", refusal.sentence);
    return refusal;
  }

  #refused(by: NodeId, who: string, sentence: string, forGood: boolean): void {
    if (!forGood) {
      this.#complain(who, `refused by a peer: ${sentence}`);
      return;
    }
    const { slot, promised } = this.#startedWith;
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
  #refusal(
    hello: unknown,
    expected: NodeId | undefined,
    before: Positions,
  ): HelloRefusal | undefined {
    const { data } = PeerHello.safeParse(hello);
    if (data === undefined) return { accept: false, sentence: "no hello of this protocol version" };
    const stranger = this.#strangeness(data, expected);
    if (stranger !== undefined) return { accept: false, sentence: stranger };
    const introduction = { ...data, holds: data.holds as Position };
    try {
      const loss = this.#known.meet(data.nodeId as NodeId, introduction, before);
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
      const positions = parseAcknowledgements(body);
      if (positions !== undefined) {
        this.#acknowledged(positions);
        return;
      }
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
