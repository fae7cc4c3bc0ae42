/**
 * The Paxos alphabet. Every message names the ballot it speaks under; an answer names exactly what it answers,
 * so that a late or repeated answer can never be counted for something else.
 *
 *   message           from → to               meaning
 *   ----------------  ----------------------  -------------------------------------------------------------
 *   probe             anyone → all            "I do not lead; would you follow me?" Raises no ballot (prevote)
 *   probeReply        all → prober            grant, unless a live leader was heard within the timeout
 *   phase1a           candidate → all         "promise my ballot, and tell what you accepted from this slot on"
 *   phase1b           acceptor → candidate    one page of that; the promise counts when the last page is in
 *   phase2a           leader → all            "accept this value in this slot under my ballot"
 *   phase2b           acceptor → leader       accepted exactly these slots under exactly this ballot
 *   nack              acceptor → proposer     "not this ballot: I promised something higher, or stay with a leader"
 *   heartbeat         leader → all            "I lead; everything up to here is chosen"
 *   heartbeatReply    all → leader            "I hear you, and my disk works" (a leader that hears no quorum steps down)
 *   learnRequest      anyone → anyone         "send me chosen slots from here"
 *   learnReply        anyone → anyone         one page of chosen slots
 *   snapshotOffer     anyone → anyone         "that slot is gone from my log; I have a snapshot of everything up to here"
 *
 * Beside the core, between those who carry snapshots:
 *   snapshotRequest   anyone → anyone         "send me this piece of your snapshot"
 *   snapshotChunk     anyone → anyone         that piece
 *   snapshotGone      anyone → anyone         "a newer one has taken its place"
 *
 * And beside heartbeats, of the transport alone: what everybody has acknowledged (transport/acknowledgements.ts).
 */
import type { Ballot, NodeId, Slot } from "../../shared/model/ids.ts";

/** What a slot holds; opaque here. An empty value is the no-op that fills holes. */
export type Value = Uint8Array;
export const NO_OP: Value = new Uint8Array(0);

/** One slot as an acceptor reports it. `chosen`: the reporter knows that the value is chosen for ever. */
export type ReportedSlot =
  | {
      readonly kind: "accepted";
      readonly slot: Slot;
      readonly ballot: Ballot;
      readonly value: Value;
    }
  | { readonly kind: "chosen"; readonly slot: Slot; readonly value: Value };

export interface ChosenSlot {
  readonly slot: Slot;
  readonly value: Value;
}

export type PaxosMessage =
  | { readonly kind: "probe"; readonly attempt: number }
  | {
      readonly kind: "probeReply";
      readonly attempt: number;
      readonly granted: boolean;
      readonly promised: Ballot;
    }
  | { readonly kind: "phase1a"; readonly ballot: Ballot; readonly fromSlot: Slot }
  | {
      readonly kind: "phase1b";
      readonly ballot: Ballot;
      /** Repeats the question; the page covers [fromSlot, nextSlot), or everything when nextSlot is null. */
      readonly fromSlot: Slot;
      readonly nextSlot: Slot | null;
      readonly slots: readonly ReportedSlot[];
      /** Everything up to here is chosen and gone from the acceptor's log: it reports nothing of it. */
      readonly truncatedUpTo: Slot;
    }
  | {
      readonly kind: "phase2a";
      readonly ballot: Ballot;
      readonly slot: Slot;
      readonly value: Value;
      readonly chosenUpTo: Slot;
    }
  | { readonly kind: "phase2b"; readonly ballot: Ballot; readonly slot: Slot }
  | { readonly kind: "nack"; readonly ballot: Ballot; readonly promised: Ballot }
  | {
      readonly kind: "heartbeat";
      readonly ballot: Ballot;
      /** Counts up within a ballot; the reply repeats it. */
      readonly beat: number;
      readonly chosenUpTo: Slot;
    }
  | { readonly kind: "heartbeatReply"; readonly ballot: Ballot; readonly beat: number }
  | { readonly kind: "learnRequest"; readonly fromSlot: Slot }
  | {
      readonly kind: "learnReply";
      readonly slots: readonly ChosenSlot[];
      readonly chosenUpTo: Slot;
    }
  | { readonly kind: "snapshotOffer"; readonly slot: Slot; readonly chosenUpTo: Slot };

/** How a snapshot travels. The core decides that it should, and never sees the pieces. */
export type SnapshotTransfer =
  | { readonly kind: "snapshotRequest"; readonly slot: Slot; readonly chunk: number }
  | {
      readonly kind: "snapshotChunk";
      readonly slot: Slot;
      readonly chunk: number;
      readonly bytes: Uint8Array;
      /** The checksum of all bytes of the snapshot, with the last chunk; null before. */
      readonly wholeCrc: number | null;
    }
  | { readonly kind: "snapshotGone"; readonly slot: Slot };

/** Everything that coordinators say to each other. */
export type PeerMessage = PaxosMessage | SnapshotTransfer;

export interface Envelope {
  readonly to: NodeId;
  readonly message: PaxosMessage;
}
