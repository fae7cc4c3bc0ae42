/**
 * C1, S1, S2: every replica applies the same values in the same slots, and at the same slot every ledger says the same.
 * Looks after each event at whatever has moved.
 */
import type { CoordinatorNode } from "../../../coordinator/coordinator-node.ts";
import { checksum } from "../../../coordinator/log/snapshot-chunks.ts";
import { sameValue } from "../../../coordinator/paxos/turn.ts";
import type { Slot } from "../../../shared/model/ids.ts";
import type { Decision, ReferenceLedger } from "./reference-ledger.ts";
import { demand } from "./violation.ts";

interface ChosenHere {
  readonly value: Uint8Array;
  readonly summary: string;
  /** The checksum of the first ledger that was looked at closely here. */
  imageCrc?: number;
}

/** Every so many slots a ledger is compared as a whole, byte for byte. */
const IMAGE_INTERVAL_SLOTS = 4;

export class AgreementChecker {
  readonly #reference: ReferenceLedger;
  readonly #onDecision: (decision: Decision) => void;
  readonly #onJump: (machine: string, slots: number) => void;
  /** By slot, from 1. */
  readonly #chosen: ChosenHere[] = [];
  readonly #seenUpTo = new WeakMap<CoordinatorNode, number>();

  /** `onJump`: a living node has taken a snapshot for so many slots that it never applied. */
  constructor(
    reference: ReferenceLedger,
    onDecision: (decision: Decision) => void,
    onJump: (machine: string, slots: number) => void,
  ) {
    this.#reference = reference;
    this.#onDecision = onDecision;
    this.#onJump = onJump;
  }

  get slots(): number {
    return this.#chosen.length;
  }

  observe(machine: string, node: CoordinatorNode): void {
    const { chosenUpTo } = node.replica;
    if (!this.observeChosen(machine, node)) return;
    const chosen = this.#chosen[chosenUpTo - 1];
    const expected = chosen?.summary;
    const actual = summaryOf(node);
    demand(
      actual === expected,
      "S2",
      () =>
        `the ledger of ${machine} at slot ${chosenUpTo} is [${actual}], not [${expected ?? ""}]`,
    );
    if (chosen === undefined || chosenUpTo % IMAGE_INTERVAL_SLOTS !== 0) return;
    const imageCrc = imageCrcOf(node);
    chosen.imageCrc ??= imageCrc;
    demand(
      imageCrc === chosen.imageCrc,
      "S3",
      () => `the ledger of ${machine} at slot ${chosenUpTo} is another than elsewhere`,
    );
  }

  /**
   * Without the ledger: of a node that ends in the middle of a turn, when it may have applied half of what it has just learned,
   * and told participants of it. False when nothing has moved.
   */
  observeChosen(machine: string, node: CoordinatorNode): boolean {
    const { chosenUpTo } = node.replica;
    const seenUpTo = this.#seenUpTo.get(node) ?? 0;
    if (chosenUpTo === seenUpTo) return false;
    demand(chosenUpTo > seenUpTo, "C3", () => `${machine} went back from slot ${seenUpTo}`);
    const first = this.#afterSnapshot(machine, node, seenUpTo) + 1;
    for (let slot = first; slot <= chosenUpTo; slot += 1) this.#compare(machine, node, slot);
    this.#seenUpTo.set(node, chosenUpTo);
    return true;
  }

  /**
   * S3: what is gone from the log was applied by somebody, or there would be no snapshot of it; the ledger is compared at the
   * end of what moved.
   */
  #afterSnapshot(machine: string, node: CoordinatorNode, seenUpTo: number): number {
    const truncatedUpTo = node.replica.state?.log.truncatedUpTo ?? 0;
    if (truncatedUpTo <= seenUpTo) return seenUpTo;
    demand(
      truncatedUpTo <= this.#chosen.length,
      "A6",
      () => `${machine} has a snapshot of slot ${truncatedUpTo}, which nobody has applied`,
    );
    if (this.#seenUpTo.has(node)) this.#onJump(machine, truncatedUpTo - seenUpTo);
    return truncatedUpTo;
  }

  #compare(machine: string, node: CoordinatorNode, slot: number): void {
    const entry = node.replica.state?.log.get(slot as Slot);
    demand(entry?.kind === "chosen", "C3", () => `${machine} applied slot ${slot}, not chosen`);
    const known = this.#chosen[slot - 1];
    if (known !== undefined) {
      demand(
        sameValue(known.value, entry.value),
        "C1",
        () => `slot ${slot} has two values; ${machine} applied the second`,
      );
      return;
    }
    const decisions = this.#reference.apply(slot, entry.value);
    this.#chosen.push({ value: entry.value, summary: this.#reference.summary() });
    for (const decision of decisions) this.#onDecision(decision);
  }

  /** The whole production ledger against the reference, decision by decision. */
  compareDecisions(machine: string, { ledger }: CoordinatorNode): void {
    for (const [id, { outcome, command }] of this.#reference.decisions) {
      const expected = outcome === "committed" ? "committed" : "aborted";
      const answers = [
        ledger.carrierOutcome(command.carrierId),
        ...command.members.map(({ transactionId }) => ledger.transactionOutcome(transactionId)),
      ];
      for (const { kind } of answers) {
        // What is void under the present ballot stays undecided to all but its leader.
        const isAcceptable = kind === expected || (outcome === "void" && kind === "undecided");
        demand(
          isAcceptable,
          "S2",
          () => `${machine} says ${kind} about ${id}, which is ${outcome}`,
        );
      }
    }
  }
}

/** Equal ledgers make equal images, whether they came from the log or from a snapshot. */
function imageCrcOf({ ledger }: CoordinatorNode): number {
  let crc = 0;
  for (const chunk of ledger.snapshot()) crc = checksum(chunk, crc);
  return crc;
}

function summaryOf({ ledger }: CoordinatorNode): string {
  return `floor ${ledger.floor}, ${ledger.incompleteCount} incomplete, ${ledger.answerCount} answers`;
}
