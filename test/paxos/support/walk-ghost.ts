/** What an all-seeing observer of a random walk holds against the nodes. */
import type { Ballot, NodeId, Slot } from "../../../shared/model/ids.ts";
import type { PaxosMessage } from "../../../coordinator/paxos/message.ts";
import type { DurableRecord } from "../../../coordinator/paxos/record.ts";
import { text } from "./group.ts";

export class WalkGhost {
  readonly #quorum: number;
  readonly #proposed = new Map<string, string>();
  readonly #votes = new Map<string, Set<NodeId>>();
  readonly #chosen = new Map<Slot, string>();
  readonly #leaders = new Map<Ballot, string>();
  readonly #submitted = new Set<string>(["no-op"]);

  constructor(quorum: number) {
    this.#quorum = quorum;
  }

  get chosenCount(): number {
    return this.#chosen.size;
  }

  submitted(value: string): void {
    this.#submitted.add(value);
  }

  /** P1, C4: under one ballot one value a slot, across restarts too; and only what somebody submitted. */
  sent(message: PaxosMessage): void {
    if (message.kind !== "phase2a") return;
    const key = `${message.ballot}/${message.slot}`;
    const value = text(message.value);
    const before = this.#proposed.get(key);
    if (before !== undefined && before !== value) throw new Error(`P1: ${key} has two values`);
    if (!this.#submitted.has(value)) throw new Error(`C4: nobody submitted ${value}`);
    this.#proposed.set(key, value);
  }

  /** C1: a record is durable for good, and with it a vote. */
  durable(node: NodeId, record: DurableRecord): void {
    if (record.kind !== "accepted") return;
    const { ballot, slot } = record;
    const key = `${ballot}/${slot}`;
    const voters = (this.#votes.get(key) ?? new Set()).add(node);
    this.#votes.set(key, voters);
    if (voters.size < this.#quorum) return;
    const value = text(record.value);
    const chosen = this.#chosen.get(slot);
    if (chosen !== undefined && chosen !== value)
      throw new Error(`C1: slot ${slot} has two values`);
    this.#chosen.set(slot, value);
  }

  /** C3, S1: what is applied was chosen by durable votes, and comes in slot order. */
  applied(slot: Slot, value: string, expected: number): void {
    if (slot !== expected) throw new Error(`S1: slot ${slot} is applied instead of ${expected}`);
    if (this.#chosen.get(slot) !== value) throw new Error(`C3: ${value} is not chosen in ${slot}`);
  }

  /** S3, C3: a snapshot moves a node on, and holds only what was chosen by durable votes. */
  restored(slot: Slot, chosenUpTo: Slot): void {
    if (slot <= chosenUpTo) throw new Error(`S3: a snapshot moves slot ${chosenUpTo} to ${slot}`);
    for (let at = 1; at <= slot; at += 1) {
      if (!this.#chosen.has(at as Slot)) throw new Error(`C3: nothing is chosen in slot ${at}`);
    }
  }

  /** E1: a ballot is led once, by one node, in one life. */
  leads(ballot: Ballot, life: string): void {
    const before = this.#leaders.get(ballot) ?? life;
    if (before !== life) throw new Error(`E1: ${before} and ${life} both lead under ${ballot}`);
    this.#leaders.set(ballot, life);
  }
}
