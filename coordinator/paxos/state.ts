/**
 * What a node knows, what can happen to it, and what it wants done about it.
 *
 *                 deadline passed            quorum of grants            quorum of promises
 *     follower ────────────────────▶ prober ──────────────────▶ candidate ──────────────────▶ leader
 *        ▲                             │                            │                            │
 *        └── leader heard, or promise ─┘                            │                            │
 *        └── higher ballot, or quorum refuses ──────────────────────┘                            │
 *        └── higher ballot, quorum refuses, log stalled, a foreign value chosen ─────────────────┘
 *
 *     prober ◀── time out ── candidate       prober ◀── quorum not heard ── leader
 *
 * The core is `step(state, input) → {state, output}` (step.ts). It does no IO and knows no time but the one in ticks.
 */
import type { Ballot, NodeId, Slot } from "../../shared/model/ids.ts";
import type { ChosenSlot, Envelope, PaxosMessage, Value } from "./message.ts";
import type { DurableRecord } from "./record.ts";
import type { SlotLog } from "./slot-log.ts";

export interface PaxosConfig {
  readonly self: NodeId;
  readonly members: readonly NodeId[];
  /** Votes needed in phase 1 and 2; their sum exceeds the number of members. */
  readonly phase1Quorum: number;
  readonly phase2Quorum: number;
  readonly heartbeatIntervalMs: number;
  /** Silence after which a leader counts as gone; each node waits between one and two of these. */
  readonly electionTimeoutMs: number;
  /** Slots that may be proposed beyond the last contiguous chosen one. */
  readonly windowSlots: number;
  /** Slots that are accepted beyond the last contiguous chosen one that this node knows; the window at least. */
  readonly acceptAheadSlots: number;
  /** Bounds of one phase1b or learnReply page; a page holds at least one slot. */
  readonly pageSlots: number;
  readonly pageBytes: number;
  /** How much of the log is kept below an own snapshot, for peers that are a little behind. */
  readonly trailingSlots: number;
  readonly trailingBytes: number;
}

export type Entry =
  | { readonly kind: "accepted"; readonly ballot: Ballot; readonly value: Value }
  | {
      readonly kind: "chosen";
      readonly value: Value;
      /** Under which ballot this node last accepted that value; ZERO_BALLOT when it learned it otherwise. */
      readonly acceptedUnder: Ballot;
    };

export interface Follower {
  readonly kind: "follower";
}

export interface Prober {
  readonly kind: "prober";
  readonly attempt: number;
  readonly grants: readonly NodeId[];
  readonly askedAtMs: number;
}

export interface Candidate {
  readonly kind: "candidate";
  readonly ballot: Ballot;
  /** First slot asked about: everything below is chosen here. */
  readonly fromSlot: Slot;
  /** Next page wanted from each acceptor that has answered; null when its promise is complete. */
  readonly progress: ReadonlyMap<NodeId, Slot | null>;
  /** Best accepted value reported so far, by slot. */
  readonly recovered: ReadonlyMap<Slot, Recovered>;
  /** Who promised a higher ballot, or stays with a leader. */
  readonly refusedBy: readonly NodeId[];
  readonly askedAtMs: number;
}

export interface Recovered {
  readonly ballot: Ballot;
  readonly value: Value;
}

export interface InFlight {
  readonly value: Value;
  readonly voters: readonly NodeId[];
  readonly sentAtMs: number;
}

export interface Leader {
  readonly kind: "leader";
  readonly ballot: Ballot;
  /** Values that phase 1 found; slots up to `recoverUpTo` that are not in it get a no-op. */
  readonly recovered: ReadonlyMap<Slot, Recovered>;
  readonly recoverUpTo: Slot;
  readonly nextSlot: Slot;
  readonly inFlight: ReadonlyMap<Slot, InFlight>;
  readonly beat: number;
  readonly beatAtMs: number;
  /** When each other member last answered under this ballot. */
  readonly heardAtMs: ReadonlyMap<NodeId, number>;
  /** Who promised a higher ballot, and so votes for nothing under this one. */
  readonly refusedBy: readonly NodeId[];
}

export type Role = Follower | Prober | Candidate | Leader;

export interface HeardLeader {
  readonly node: NodeId;
  readonly ballot: Ballot;
  readonly atMs: number;
}

export interface PaxosState {
  readonly config: PaxosConfig;
  readonly role: Role;
  /** Time of the last tick. */
  readonly nowMs: number;
  /** This node's own randomized election timeout, drawn anew for each attempt. */
  readonly patienceMs: number;
  readonly electionDeadlineMs: number;
  readonly probeAttempt: number;
  readonly promised: Ballot;
  /** The highest ballot met in any message; a new ballot goes above it. */
  readonly highestSeen: Ballot;
  /** Without what a snapshot covers, but for a trailing part. A6: what is gone is chosen and in the snapshot. */
  readonly log: SlotLog<Entry>;
  /** The newest own or installed snapshot covers everything up to here; 0 while there is none. */
  readonly snapshotSlot: Slot;
  /** Every slot up to here is chosen and known. Invariant C3: contiguous, never decreases. */
  readonly chosenUpTo: Slot;
  /** The last `chosenUpTo` handed to the log. */
  readonly hintedUpTo: Slot;
  readonly heardLeader: HeardLeader | undefined;
  /** Somebody knows slots up to `upTo` to be chosen; we asked `peer` for them. */
  readonly catchUp: CatchUp | undefined;
}

export interface CatchUp {
  readonly peer: NodeId;
  readonly upTo: Slot;
  readonly askedAtMs: number;
}

export type PaxosInput =
  | {
      readonly kind: "tick";
      readonly nowMs: number;
      /** Uniform in [0, 1000): the only randomness there is. */
      readonly jitter: number;
      /** How long the oldest unfinished log write has been waiting. */
      readonly logStalledMs: number;
    }
  | { readonly kind: "message"; readonly from: NodeId; readonly message: PaxosMessage }
  /** Only when `canPropose(state)`. */
  | { readonly kind: "propose"; readonly value: Value }
  /** The connection to a peer broke: if it led, do not wait out the whole timeout. */
  | { readonly kind: "peerLost"; readonly node: NodeId }
  /** Somebody wants to know whether this node still leads: a leader does not wait with its next heartbeat. */
  | { readonly kind: "beat" }
  /** Campaign now, without asking first. */
  | { readonly kind: "campaign" }
  /** The store has a snapshot of everything up to `slot`, durably: of what was applied here, or of a peer (see `fetch`). */
  | {
      readonly kind: "snapshotSaved";
      readonly slot: Slot;
      readonly origin: "own" | "peer";
      /** What comes after this slot stays in the log, for a peer that fetches an older snapshot. */
      readonly keepAfter?: Slot | undefined;
      /** Whose it was: what was chosen meanwhile is asked of the same peer, whose log may hold it when no other's does. */
      readonly peer?: NodeId;
    };

/** Whose snapshot of which slot is wanted. */
export interface SnapshotSource {
  readonly peer: NodeId;
  readonly slot: Slot;
}

/**
 * Order of effects: write `records`, and when they and everything before them are durable send `release`; `send` may
 * leave at once; `apply` is chosen for ever and may be applied at once, in order, but after `restore`. Messages to oneself are
 * inputs.
 */
export interface PaxosOutput {
  readonly records: readonly DurableRecord[];
  readonly release: readonly Envelope[];
  readonly send: readonly Envelope[];
  readonly apply: readonly ChosenSlot[];
  /** A peer's snapshot is to be brought here and saved. Said again and again until that, or a learnReply, has helped. */
  readonly fetch: SnapshotSource | undefined;
  /** What was applied becomes what the peer's snapshot of this slot says, which was just saved. */
  readonly restore: Slot | undefined;
}

export interface Stepped {
  readonly state: PaxosState;
  readonly output: PaxosOutput;
}
