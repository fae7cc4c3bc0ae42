/**
 * One turn of the core: the state as it changes and the output as it grows, while `step` runs. The only mutable
 * object of the core; it never leaves `step`.
 */
import { assert } from "../../shared/model/assert.ts";
import type { Ballot, NodeId, Slot } from "../../shared/model/ids.ts";
import { nextSlot, ZERO_BALLOT } from "../../shared/model/ids.ts";
import type { ChosenSlot, Envelope, PaxosMessage, Value } from "./message.ts";
import type { DurableRecord } from "./record.ts";
import type { Entry, PaxosOutput, PaxosState, Role, SnapshotSource } from "./state.ts";

export class Turn {
  state: PaxosState;
  readonly #records: DurableRecord[] = [];
  readonly #release: Envelope[] = [];
  readonly #send: Envelope[] = [];
  readonly #apply: ChosenSlot[] = [];
  #fetch: SnapshotSource | undefined;
  #restore: Slot | undefined;

  constructor(state: PaxosState) {
    this.state = state;
  }

  change(changes: Partial<PaxosState>): void {
    this.state = { ...this.state, ...changes };
  }

  become(role: Role): void {
    this.change({ role });
  }

  /** Back to following, whoever leads. A leader that yields gives the next one time before it tries again. */
  follow(): void {
    const { role } = this.state;
    if (role.kind === "follower") return;
    if (role.kind === "leader") this.waitAnew();
    this.become({ kind: "follower" });
  }

  waitAnew(): void {
    this.change({ electionDeadlineMs: this.state.nowMs + this.state.patienceMs });
  }

  sawBallot(ballot: Ballot): void {
    if (ballot > this.state.highestSeen) this.change({ highestSeen: ballot });
  }

  persist(record: DurableRecord): void {
    this.#records.push(record);
  }

  /** Leaves only after everything persisted so far is durable (A4, E2, P7). */
  releaseTo(to: NodeId, message: PaxosMessage): void {
    this.#release.push({ to, message });
  }

  sendTo(to: NodeId, message: PaxosMessage): void {
    this.#send.push({ to, message });
  }

  sendToOthers(message: PaxosMessage): void {
    for (const to of this.state.config.members) {
      if (to !== this.state.config.self) this.sendTo(to, message);
    }
  }

  /** Marks a slot chosen and applies whatever has become contiguous. */
  markChosen(slot: Slot, value: Value): void {
    const known = this.state.log.get(slot);
    assert(
      known?.kind !== "chosen" || sameValue(known.value, value),
      "C1: one slot has one chosen value",
    );
    if (known?.kind === "chosen") return;
    this.change({ log: this.state.log.set(slot, chosenAfter(known, value)) });
    this.#advance();
  }

  fetch(peer: NodeId, slot: Slot): void {
    this.#fetch = { peer, slot };
  }

  /** Everything up to `slot` is chosen, says the snapshot that takes the place of what was applied. */
  restore(slot: Slot): void {
    assert(slot > this.state.chosenUpTo, "S3: a snapshot never moves the state back");
    assert(this.#apply.length === 0, "S3: a snapshot is restored before later slots are applied");
    this.change({ chosenUpTo: slot });
    this.#restore = slot;
    this.#advance();
  }

  #advance(): void {
    let { chosenUpTo } = this.state;
    for (;;) {
      const slot = nextSlot(chosenUpTo);
      const entry: Entry | undefined = this.state.log.get(slot);
      if (entry?.kind !== "chosen") break;
      this.#apply.push({ slot, value: entry.value });
      chosenUpTo = slot;
    }
    if (chosenUpTo !== this.state.chosenUpTo) this.change({ chosenUpTo });
  }

  output(): PaxosOutput {
    if (this.#records.length > 0 && this.state.chosenUpTo > this.state.hintedUpTo) {
      this.#records.push({ kind: "chosenUpTo", slot: this.state.chosenUpTo });
      this.change({ hintedUpTo: this.state.chosenUpTo });
    }
    return {
      records: this.#records,
      release: this.#release,
      send: this.#send,
      apply: this.#apply,
      fetch: this.#fetch,
      restore: this.#restore,
    };
  }
}

/** What a slot holds once this value is known to be chosen there. */
export function chosenAfter(known: Entry | undefined, value: Value): Entry {
  const isAccepted = known?.kind === "accepted" && sameValue(known.value, value);
  return { kind: "chosen", value, acceptedUnder: isAccepted ? known.ballot : ZERO_BALLOT };
}

export function sameValue(left: Value, right: Value): boolean {
  if (left === right) return true;
  if (left.length !== right.length) return false;
  for (let index = 0; index < left.length; index += 1) {
    if (left[index] !== right[index]) return false;
  }
  return true;
}
