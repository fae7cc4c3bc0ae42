/**
 * What the decision log says, worked out a second time and in the plainest way: one map of decisions, nothing forgotten,
 * nothing optimised. The production ledger must agree with it at every slot.
 */
import {
  decodeBatch,
  type Command,
  type CommitCommand,
} from "../../../coordinator/transactions/command.ts";

export interface Decision {
  readonly outcome: "committed" | "void";
  readonly command: CommitCommand;
  readonly slot: number;
}

export class ReferenceLedger {
  readonly #voidsBelowFloor: boolean;
  readonly decisions = new Map<string, Decision>();
  readonly completed = new Set<string>();
  /** The transaction that committed under each idempotency key. */
  readonly answers = new Map<string, string>();
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
        for (const id of command.carrierIds) this.completed.add(id);
        return undefined;
      case "commit":
        return this.#commit(slot, command);
    }
  }

  #commit(slot: number, command: CommitCommand): Decision | undefined {
    if (this.decisions.get(command.carrierId)?.outcome === "committed") return undefined;
    const isLate = this.#voidsBelowFloor && command.ballot < this.floor;
    const keys = command.members.flatMap(({ idempotency, transactionId }) =>
      idempotency === null ? [] : [{ key: idempotency.key, transactionId }],
    );
    const isAnswered = keys.some(({ key }) => this.answers.has(key));
    const decision: Decision = {
      outcome: isLate || isAnswered ? "void" : "committed",
      command,
      slot,
    };
    this.decisions.set(command.carrierId, decision);
    if (decision.outcome === "void") return decision;
    for (const { key, transactionId } of keys) this.answers.set(key, transactionId);
    return decision;
  }

  isCommitted(carrierId: string): boolean {
    return this.decisions.get(carrierId)?.outcome === "committed";
  }

  /** What can be compared with a production ledger cheaply, after each slot. */
  summary(): string {
    let incomplete = 0;
    for (const [id, { outcome }] of this.decisions) {
      if (outcome === "committed" && !this.completed.has(id)) incomplete += 1;
    }
    return `floor ${this.floor}, ${incomplete} incomplete, ${this.answers.size} answers`;
  }
}
