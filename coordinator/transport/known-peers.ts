/**
 * What this node remembers of its peers, so that one that has lost its memory is recognised by those that have theirs.
 *
 *   disk            which storage id stands behind a node id. Durable before the node's hello is accepted: a whole group may
 *                   restart, one of them on an empty directory, and no vote of it may count even once
 *   acknowledged    the most that the node has acknowledged, to this one or, by the word of a leader's heartbeat, to that. In
 *                   memory, and written down every few seconds: it changes with every vote, and a sync for each would double
 *                   what a vote costs. What is written is old, never too much, so nobody is refused wrongly; what a crash of
 *                   this node takes away is that it notices a peer's loss of those same last seconds
 *
 * A hello says what its node holds when it is written. It must be all that was acknowledged before; what is heard of
 * later, while the hello is on its way, proves nothing.
 *
 * A node that is no member any more is remembered all the same: its id must never come back on another disk. So the bound
 * is the number of ids, 1023.
 */
import type { NodeId } from "../../shared/model/ids.ts";
import { describePosition, isBehind, NOWHERE, type Position } from "./position.ts";

export interface KnownPeer {
  readonly storageId: string;
  readonly acknowledged: Position;
}

/** Where it is kept. */
export interface PeerMemory {
  load(): ReadonlyMap<NodeId, KnownPeer>;
  /** Durable when it returns. Throws when the disk fails. */
  saveNow(peers: ReadonlyMap<NodeId, KnownPeer>): void;
  /** Durable some time later. */
  saveLater(peers: ReadonlyMap<NodeId, KnownPeer>): void;
}

export interface Introduction {
  readonly storageId: string;
  readonly holds: Position;
}

export type Positions = ReadonlyMap<NodeId, Position>;

export class KnownPeers {
  readonly #self: { readonly node: NodeId; readonly storageId: string };
  readonly #memory: PeerMemory;
  readonly #peers: Map<NodeId, KnownPeer>;
  #positions: Positions | undefined;

  constructor(self: { readonly node: NodeId; readonly storageId: string }, memory: PeerMemory) {
    this.#self = self;
    this.#memory = memory;
    this.#peers = new Map(memory.load());
  }

  /** What each node that was met has acknowledged. The same map for as long as that is nothing new. */
  acknowledged(): Positions {
    this.#positions ??= new Map(
      [...this.#peers].map(([node, { acknowledged }]) => [node, acknowledged]),
    );
    return this.#positions;
  }

  /**
   * Why this node must not vote, as a sentence; undefined when it may: then its disk is remembered, durably. `before`: what was
   * known to be acknowledged when the node cannot have introduced itself yet.
   */
  meet(node: NodeId, { storageId, holds }: Introduction, before: Positions): string | undefined {
    const known = this.#peers.get(node);
    if (known !== undefined && known.storageId !== storageId) {
      return `node ${node} came back with another disk: give it a new node id`;
    }
    const owner = this.#ownerOf(storageId);
    if (owner !== undefined && owner !== node) {
      return `node ${node} shows the disk of node ${owner}: give it an empty one`;
    }
    const acknowledged = before.get(node) ?? NOWHERE;
    if (isBehind(holds, acknowledged)) {
      return (
        `node ${node} acknowledged ${describePosition(acknowledged)}, ` +
        `and came back with ${describePosition(holds)}`
      );
    }
    if (known === undefined) {
      this.#remember(node, { storageId, acknowledged });
      this.#memory.saveNow(this.#peers);
    }
    return undefined;
  }

  /** Nothing is remembered of a node that was never met: there is no disk to remember it of. */
  acknowledges(node: NodeId, change: (position: Position) => Position): void {
    const known = this.#peers.get(node);
    if (known === undefined) return;
    const acknowledged = change(known.acknowledged);
    if (acknowledged === known.acknowledged) return;
    this.#remember(node, { ...known, acknowledged });
    this.#memory.saveLater(this.#peers);
  }

  #remember(node: NodeId, peer: KnownPeer): void {
    this.#peers.set(node, peer);
    this.#positions = undefined;
  }

  #ownerOf(storageId: string): NodeId | undefined {
    if (storageId === this.#self.storageId) return this.#self.node;
    for (const [node, known] of this.#peers) if (known.storageId === storageId) return node;
    return undefined;
  }
}
