/** PeerMemory without a disk: what is kept outlives the transport, not the process. */
import type { KnownPeer, PeerMemory } from "../../coordinator/transport/known-peers.ts";
import type { NodeId } from "../../shared/model/ids.ts";

export class VolatilePeers implements PeerMemory {
  #peers: ReadonlyMap<NodeId, KnownPeer> = new Map();

  load(): ReadonlyMap<NodeId, KnownPeer> {
    return this.#peers;
  }

  saveNow(peers: ReadonlyMap<NodeId, KnownPeer>): void {
    this.#peers = new Map(peers);
  }

  saveLater(peers: ReadonlyMap<NodeId, KnownPeer>): void {
    this.saveNow(peers);
  }
}
