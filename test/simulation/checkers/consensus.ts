/**
 * The invariants of the consensus core that only somebody can check who sees all nodes, and all lives of each: from what is
 * durable on their disks, what leaves them, and the state that they are in after each event.
 *
 *   A1  no node is below a promise that its disk held, in any life
 *   A2  no accepted ballot lies above the promise
 *   A4  no promise and no vote leaves before it is durable; nor does a campaign before its own promise is (E2)
 *   P1  one value per ballot and slot, ever
 *   C1  at most one value of a slot is accepted by a quorum
 *   C2  what is proposed above a choosing ballot is what that chose
 *   C3  nobody takes for chosen what no quorum holds
 *   E1  a ballot is campaigned for, so that others hear of it, and led by one life of one node
 */
import type { PeerMessage, Value } from "../../../coordinator/paxos/message.ts";
import type { DurableRecord } from "../../../coordinator/paxos/record.ts";
import type { PaxosState } from "../../../coordinator/paxos/state.ts";
import { sameValue } from "../../../coordinator/paxos/turn.ts";
import type { Ballot, NodeId, Slot } from "../../../shared/model/ids.ts";
import { demand } from "./violation.ts";

interface Proposal {
  readonly value: Value;
  /** Nodes on whose disks it is accepted. */
  readonly holders: Set<NodeId>;
}

interface Chosen {
  readonly ballot: Ballot;
  readonly value: Value;
}

export class ConsensusChecker {
  readonly #quorum: number;
  readonly #proposals = new Map<Slot, Map<Ballot, Proposal>>();
  /** Under the lowest ballot that is known to have chosen it. */
  readonly #chosen = new Map<Slot, Chosen>();
  /** The highest promise, given or implied by an accept, that is durable. */
  readonly #promises = new Map<NodeId, Ballot>();
  readonly #campaigners = new Map<Ballot, string>();
  readonly #seen = new Map<string, PaxosState>();

  constructor(quorum: number) {
    this.#quorum = quorum;
  }

  /** The node's disk holds these: they were acknowledged, or a restart found them. */
  durable(node: NodeId, records: readonly DurableRecord[]): void {
    for (const record of records) {
      switch (record.kind) {
        case "promised":
          this.#promised(node, record.ballot);
          break;
        case "accepted":
          this.#promised(node, record.ballot);
          this.#accepted(node, record);
          break;
        case "snapshot":
          this.#promised(node, record.promised);
          break;
        case "learned":
        case "chosenUpTo":
          break;
      }
    }
  }

  #promised(node: NodeId, ballot: Ballot): void {
    if (ballot > this.#promiseOf(node)) this.#promises.set(node, ballot);
  }

  /** The message is about to leave the node in this life of it. */
  sending(node: NodeId, life: string, message: PeerMessage): void {
    const { kind } = message;
    if (kind === "phase2a") this.#proposed(message.slot, message.ballot, message.value);
    if (kind === "phase1a") this.#campaigns(life, message.ballot);
    if (kind === "phase1a" || kind === "phase1b") {
      this.#demandDurable(node, message, message.ballot <= this.#promiseOf(node));
    }
    if (kind === "phase2b") {
      const proposal = this.#proposals.get(message.slot)?.get(message.ballot);
      this.#demandDurable(node, message, proposal?.holders.has(node) === true);
    }
  }

  /** After an event; `life` names one incarnation. */
  observe(node: NodeId, life: string, state: PaxosState): void {
    const before = this.#seen.get(life);
    if (before === state) return;
    this.#seen.set(life, state);
    if (before?.promised !== state.promised || before.log !== state.log) {
      this.#observeAcceptor(node, life, state);
    }
    if (state.role.kind === "leader") this.#campaigns(life, state.role.ballot);
    const from = before?.chosenUpTo ?? 0;
    for (let slot = from + 1; slot <= state.chosenUpTo; slot += 1) {
      this.#observeChosen(life, state, slot as Slot);
    }
  }

  /** A life is over; its last state is of no more interest. */
  ended(life: string): void {
    this.#seen.delete(life);
  }

  #promiseOf(node: NodeId): Ballot {
    return this.#promises.get(node) ?? (0 as Ballot);
  }

  #demandDurable(node: NodeId, message: PeerMessage, isDurable: boolean): void {
    demand(isDurable, "A4", () => `n${node} sends a ${message.kind} before it is durable`);
  }

  #proposed(slot: Slot, ballot: Ballot, value: Value): Proposal {
    let ofSlot = this.#proposals.get(slot);
    if (ofSlot === undefined) this.#proposals.set(slot, (ofSlot = new Map<Ballot, Proposal>()));
    const known = ofSlot.get(ballot);
    if (known !== undefined) {
      const isSame = sameValue(known.value, value);
      demand(isSame, "P1", () => `ballot ${ballot} has two values in slot ${slot}`);
      return known;
    }
    const chosen = this.#chosen.get(slot);
    if (chosen !== undefined && ballot > chosen.ballot) {
      this.#demandCarriesOn(slot, chosen, ballot, value);
    }
    const proposal: Proposal = { value, holders: new Set() };
    ofSlot.set(ballot, proposal);
    return proposal;
  }

  #accepted(
    node: NodeId,
    { slot, ballot, value }: DurableRecord & { readonly kind: "accepted" },
  ): void {
    const { holders } = this.#proposed(slot, ballot, value);
    holders.add(node);
    if (holders.size !== this.#quorum) return;
    const known = this.#chosen.get(slot);
    if (known !== undefined) {
      const isSame = sameValue(known.value, value);
      demand(isSame, "C1", () => `a quorum of ballot ${ballot} chose a second value in ${slot}`);
      if (known.ballot <= ballot) return;
    }
    const chosen = { ballot, value };
    this.#chosen.set(slot, chosen);
    for (const [later, proposal] of this.#proposals.get(slot) ?? []) {
      if (later > ballot) this.#demandCarriesOn(slot, chosen, later, proposal.value);
    }
  }

  #demandCarriesOn(slot: Slot, chosen: Chosen, ballot: Ballot, value: Value): void {
    demand(
      sameValue(chosen.value, value),
      "C2",
      () => `ballot ${ballot} proposes another value in slot ${slot} than ${chosen.ballot} chose`,
    );
  }

  #observeAcceptor(node: NodeId, life: string, { promised, log, chosenUpTo }: PaxosState): void {
    const durable = this.#promiseOf(node);
    demand(
      promised >= durable,
      "A1",
      () => `${life} promised ${durable}, and knows of ${promised}`,
    );
    for (const [slot, entry] of log.from((chosenUpTo + 1) as Slot)) {
      if (entry.kind !== "accepted") continue;
      const { ballot } = entry;
      const isBelow = ballot <= promised;
      demand(isBelow, "A2", () => `${life} accepted ${ballot} in ${slot}, promised ${promised}`);
    }
  }

  #campaigns(life: string, ballot: Ballot): void {
    const known = this.#campaigners.get(ballot) ?? life;
    this.#campaigners.set(ballot, known);
    demand(known === life, "E1", () => `ballot ${ballot} belongs to ${known} and to ${life}`);
  }

  #observeChosen(life: string, { log }: PaxosState, slot: Slot): void {
    const entry = log.get(slot);
    const chosen = this.#chosen.get(slot);
    // What a snapshot stands for was chosen by a quorum, too; what it was shows in the ledger.
    const isTrue =
      chosen !== undefined &&
      (slot <= log.truncatedUpTo || (entry !== undefined && sameValue(entry.value, chosen.value)));
    demand(isTrue, "C3", () => `${life} takes for chosen in slot ${slot} what no quorum holds`);
  }
}
