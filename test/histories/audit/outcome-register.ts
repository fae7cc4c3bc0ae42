/** Every transaction's outcome as a register that is written once: whoever says one, all must have said the same. */
import type { Saying } from "./evidence.ts";
import type { Finding } from "./findings.ts";

export class OutcomeRegisters {
  /** Of each transaction, who was the first to say which outcome. */
  readonly #first = new Map<string, Map<Saying["outcome"], string>>();

  write({ transaction, outcome, by }: Saying): void {
    const said = this.#first.get(transaction) ?? new Map<Saying["outcome"], string>();
    this.#first.set(transaction, said);
    if (!said.has(outcome)) said.set(outcome, by);
  }

  /** By whose word; undefined when nobody's. */
  saidBy(transaction: string, outcome: Saying["outcome"]): string | undefined {
    return this.#first.get(transaction)?.get(outcome);
  }

  splits(): readonly Finding[] {
    return [...this.#first].flatMap(([transaction, said]): readonly Finding[] => {
      const committedBy = said.get("committed");
      const abortedBy = said.get("aborted");
      if (committedBy === undefined || abortedBy === undefined) return [];
      return [{ kind: "split outcome", transaction, committedBy, abortedBy }];
    });
  }
}
