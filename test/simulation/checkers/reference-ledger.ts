/**
 * What the decision log says, worked out a second time and in the plainest way: one map of decisions, nothing forgotten,
 * nothing optimised. The production ledger must agree with it at every slot.
 */
import {
  decodeBatch,
  type Command,
  type CommitCommand,
  type DecidedMember,
} from "../../../coordinator/transactions/command.ts";
import { demand } from "./violation.ts";

export interface Decision {
  readonly outcome: "committed" | "void";
  readonly command: CommitCommand;
  readonly slot: number;
}

export class ReferenceLedger {
  readonly #voidsBelowFloor: boolean;
  readonly decisions = new Map<string, Decision>();
  readonly completed = new Set<string>();
  /** Every transaction that committed. */
  readonly transactions = new Set<string>();
  /** What committed under each idempotency key. */
  readonly answers = new Map<string, DecidedMember>();
  #incomplete = 0;
  floor = 0;

  constructor(voidsBelowFloor: boolean) {
    this.#voidsBelowFloor = voidsBelowFloor;
  }

  /** Returns the commits that this slot decided. */
  apply(slot: number, value: Uint8Array): readonly Decision[] {
    return decodeBatch(value).flatMap((command) => this.#apply(slot, command) ?? []);
  }

  #apply(slot: number, command: Command): Decision | undefined {
    switch (command.kind) {
      case "barrier":
        this.floor = Math.max(this.floor, command.ballot);
        return undefined;
      case "complete":
        for (const id of command.carrierIds) this.#complete(id);
        return undefined;
      case "commit":
        return this.#commit(slot, command);
    }
  }

  #complete(carrierId: string): void {
    if (this.isCommitted(carrierId) && !this.completed.has(carrierId)) this.#incomplete -= 1;
    this.completed.add(carrierId);
  }

  #commit(slot: number, command: CommitCommand): Decision | undefined {
    const known = this.decisions.get(command.carrierId);
    if (known?.outcome === "committed") return undefined;
    const isLate = this.#voidsBelowFloor && command.ballot < this.floor;
    const isAnswered = command.members.some(
      ({ idempotency }) => idempotency !== null && this.answers.has(idempotency.key),
    );
    const outcome = isLate || isAnswered ? "void" : "committed";
    demand(
      known === undefined || known.outcome === outcome,
      "T1",
      () =>
        `${command.carrierId} was void in slot ${known?.slot ?? 0}, and is ${outcome} in ${slot}`,
    );
    const decision: Decision = { outcome, command, slot };
    this.decisions.set(command.carrierId, decision);
    if (outcome === "committed") this.#committed(command.members);
    return decision;
  }

  #committed(members: readonly DecidedMember[]): void {
    this.#incomplete += 1;
    for (const member of members) {
      this.transactions.add(member.transactionId);
      if (member.idempotency !== null) this.answers.set(member.idempotency.key, member);
    }
  }

  isCommitted(carrierId: string): boolean {
    return this.decisions.get(carrierId)?.outcome === "committed";
  }

  /** What can be compared with a production ledger cheaply, after each slot. */
  summary(): string {
    return `floor ${this.floor}, ${this.#incomplete} incomplete, ${this.answers.size} answers`;
  }
}
