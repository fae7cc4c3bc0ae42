/**
 * The port between coordinator nodes.
 *
 * Contract: messages may be lost, delayed, repeated and reordered; they are never altered and never come from a node
 * of another cluster. `send` never blocks and never throws; when the way to a peer is closed or its bounded queue is
 * full, the message is dropped (the core sends again what matters). A message to oneself is not for the transport.
 */
import type { NodeId } from "../../shared/model/ids.ts";
import type { PeerMessage } from "../paxos/message.ts";

export interface PeerTransport {
  send(to: NodeId, message: PeerMessage): void;
  /** Exactly one receiver, set once before the first message is delivered. */
  onMessage(receive: (from: NodeId, message: PeerMessage) => void): void;
  /** The connection to a peer broke. A hint for faster elections; it may come late, twice, or never. */
  onPeerLost(notify: (node: NodeId) => void): void;
}
