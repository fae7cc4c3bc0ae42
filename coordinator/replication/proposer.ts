/**
 * What a replica does for those who propose: gathers commands while this node leads, hands them out as batches, and proves
 * that the node still leads. A command belongs to the ballot it was submitted under and dies with that leadership.
 */
import type { Ballot, NodeId } from "../../shared/model/ids.ts";
import { canPropose } from "../paxos/leader.ts";
import type { PaxosMessage, Value } from "../paxos/message.ts";
import type { PaxosState, Role } from "../paxos/state.ts";
import type { EncodedCommand } from "../transactions/command.ts";
import { CommandQueue } from "./command-queue.ts";
import { LeadershipProof } from "./leadership-proof.ts";

/** Slots in flight beyond which only full batches are proposed; the core's window bounds those. */
const SLOTS_AT_ONCE = 2;
const FULL_BATCH = 64;

export interface LeadershipEvents {
  /** This node began to lead under `ballot`. The first command submitted must be the barrier. */
  readonly leads: (ballot: Ballot) => void;
  readonly stoppedLeading: (ballot: Ballot) => void;
}

export class Proposer {
  readonly #queue = new CommandQueue();
  readonly #proof: LeadershipProof;
  readonly #events: LeadershipEvents;
  #leadsUnder: Ballot | undefined;

  constructor(quorum: number, events: LeadershipEvents) {
    this.#proof = new LeadershipProof(quorum);
    this.#events = events;
  }

  /** False when this node does not lead under `ballot`, or the queue is full. */
  submit(command: EncodedCommand, ballot: Ballot): boolean {
    return this.#leadsUnder === ballot && this.#queue.push(command);
  }

  stillLeads(role: Role | undefined, ballot: Ballot): Promise<boolean> {
    const isLeading = role?.kind === "leader" && role.ballot === ballot;
    return isLeading ? this.#proof.ask(role) : Promise.resolve(false);
  }

  /** What may be proposed now, if anything. */
  next(state: PaxosState | undefined): Value | undefined {
    return state !== undefined && this.#mayPropose(state) ? this.#queue.takeBatch() : undefined;
  }

  /** Small batches wait while slots are on their way: what gathers meanwhile shares one write on every node. */
  #mayPropose(state: PaxosState): boolean {
    if (!canPropose(state) || state.role.kind !== "leader") return false;
    return state.role.inFlight.size < SLOTS_AT_ONCE || this.#queue.length >= FULL_BATCH;
  }

  heard(from: NodeId, message: PaxosMessage): void {
    this.#proof.heard(from, message);
  }

  noteRole(role: Role): void {
    const leadsUnder = role.kind === "leader" ? role.ballot : undefined;
    const before = this.#leadsUnder;
    if (leadsUnder === before) return;
    this.#queue.clear();
    this.#proof.ended();
    this.#leadsUnder = leadsUnder;
    if (before !== undefined) this.#events.stoppedLeading(before);
    if (leadsUnder !== undefined) this.#events.leads(leadsUnder);
  }

  stop(): void {
    this.#proof.ended();
  }
}
