/**
 * How interactive transactions of this leader ended, as long as they are remembered: for calls that come late. What is forgotten
 * here is answered by the ledger alone.
 */
import type { TransactionId } from "../../../shared/model/ids.ts";

export type Finished =
  | { readonly kind: "committed" }
  /** In the words of the first error. */
  | { readonly kind: "aborted"; readonly cause: string };

/** The newest are kept. */
const MAX_FINISHED = 4_096;

export class FinishedTransactions {
  readonly #ends = new Map<TransactionId, Finished>();

  add(id: TransactionId, end: Finished): void {
    this.#ends.set(id, end);
    if (this.#ends.size <= MAX_FINISHED) return;
    for (const oldest of this.#ends.keys()) {
      this.#ends.delete(oldest);
      return;
    }
  }

  find(id: TransactionId): Finished | undefined {
    return this.#ends.get(id);
  }
}
