/**
 * The PeerTransport of each coordinator incarnation. Messages are datagrams: lost, late, repeated, out of order, and a
 * message that a crashed incarnation sent, or was sent, may well reach a later one.
 */
import type { PeerMessage } from "../../../coordinator/paxos/message.ts";
import type { PeerTransport } from "../../../coordinator/transport/peer-transport.ts";
import type { NodeId } from "../../../shared/model/ids.ts";
import type { Process, Scheduler } from "./scheduler.ts";
import type { SeededRandom } from "./seeded-random.ts";
import type { SimulatedNetwork } from "./simulated-network.ts";
import type { Trace } from "./trace.ts";

interface Attached {
  readonly process: Process;
  receive: ((from: NodeId, message: PeerMessage) => void) | undefined;
  lost: ((node: NodeId) => void) | undefined;
}

export const machineOf = (node: NodeId): string => `n${node}`;

export class SimulatedPeers {
  readonly #scheduler: Scheduler;
  readonly #network: SimulatedNetwork;
  readonly #random: SeededRandom;
  readonly #trace: Trace;
  readonly #attached = new Map<NodeId, Attached>();

  constructor(scheduler: Scheduler, network: SimulatedNetwork, random: SeededRandom, trace: Trace) {
    this.#scheduler = scheduler;
    this.#network = network;
    this.#random = random;
    this.#trace = trace;
  }

  /** `before` and `after` run around each send, and may end the sender there. */
  attach(
    self: NodeId,
    process: Process,
    before: (message: PeerMessage) => void,
    after: (message: PeerMessage) => void,
  ): PeerTransport {
    const attached: Attached = { process, receive: undefined, lost: undefined };
    this.#attached.set(self, attached);
    return {
      send: (to, message) => {
        before(message);
        if (!process.alive) return;
        this.#send(self, to, message);
        after(message);
      },
      onMessage: (receive) => {
        attached.receive = receive;
      },
      onPeerLost: (notify) => {
        attached.lost = notify;
      },
    };
  }

  #send(from: NodeId, to: NodeId, message: PeerMessage): void {
    const copies = this.#network.copies(machineOf(from), machineOf(to));
    if (copies.length === 0) this.#trace.line(machineOf(from), `✗ n${to} ${describe(message)}`);
    for (const delayMs of copies) {
      this.#scheduler.after(delayMs, undefined, () => {
        this.#arrive(from, to, message);
      });
    }
  }

  #arrive(from: NodeId, to: NodeId, message: PeerMessage): void {
    const target = this.#attached.get(to);
    if (target?.process.alive !== true || this.#network.isBlocked(machineOf(from), machineOf(to))) {
      return;
    }
    const receive = (): void => {
      if (message.kind !== "heartbeat" && message.kind !== "heartbeatReply") {
        this.#trace.line(machineOf(to), `← n${from} ${describe(message)}`);
      }
      target.receive?.(from, message);
    };
    if (target.process.paused) this.#scheduler.after(0, target.process, receive);
    else receive();
  }

  /** The machine's connections broke: each peer may or may not hear of it. */
  broken(node: NodeId, noticeChance: number): void {
    for (const [peer, { process, lost }] of this.#attached) {
      if (peer === node || !this.#random.chance(noticeChance)) continue;
      this.#scheduler.after(this.#random.between(0, 50), process, () => {
        this.#trace.line(machineOf(peer), `lost the connection to n${node}`);
        lost?.(node);
      });
    }
  }
}

function describe(message: PeerMessage): string {
  const { kind } = message;
  switch (kind) {
    case "probe":
      return `probe ${message.attempt}`;
    case "probeReply":
      return `probeReply ${message.attempt} ${message.granted ? "granted" : "refused"}`;
    case "phase1a":
      return `phase1a b${message.ballot} from slot ${message.fromSlot}`;
    case "phase1b": {
      const slots = message.slots.map((reported) =>
        reported.kind === "chosen"
          ? `${reported.slot}=chosen`
          : `${reported.slot}@b${reported.ballot}`,
      );
      return `phase1b b${message.ballot} above ${message.truncatedUpTo} [${slots.join(" ")}]`;
    }
    case "phase2a":
      return `phase2a b${message.ballot} slot ${message.slot} (${message.value.length} bytes)`;
    case "phase2b":
      return `phase2b b${message.ballot} slot ${message.slot}`;
    case "nack":
      return `nack b${message.ballot}, promised b${message.promised}`;
    case "heartbeat":
      return `heartbeat b${message.ballot} chosen ${message.chosenUpTo}`;
    case "heartbeatReply":
      return `heartbeatReply b${message.ballot}`;
    case "learnRequest":
      return `learnRequest from ${message.fromSlot}`;
    case "learnReply":
      return `learnReply ${message.slots.length} slots, chosen ${message.chosenUpTo}`;
    case "snapshotOffer":
      return `snapshotOffer ${message.slot}, chosen ${message.chosenUpTo}`;
    case "snapshotRequest":
      return `snapshotRequest ${message.slot} chunk ${message.chunk}`;
    case "snapshotGone":
      return `snapshotGone ${message.slot}`;
    case "snapshotChunk": {
      const last = message.wholeCrc === null ? "" : ", the last";
      return `snapshotChunk ${message.slot} chunk ${message.chunk} (${message.bytes.length} bytes${last})`;
    }
  }
}
