/**
 * T1: a transaction has one outcome, and what was said of it to anybody (a client, a participant that asked, whoever asked for
 * its status) stays true. What is said in an event is judged when the event is over and the log has been looked at.
 */
import { onePhaseShard, type CarrierId, type TransactionId } from "../../../shared/model/ids.ts";
import type { CommitCommand } from "../../../coordinator/transactions/command.ts";
import type { ReferenceLedger } from "./reference-ledger.ts";
import { demand } from "./violation.ts";

type Outcome = "committed" | "aborted";

interface Saying {
  readonly by: string;
  readonly id: CarrierId | TransactionId;
  readonly outcome: Outcome;
  readonly isInTheLog: () => boolean;
}

export class ToldOutcomes {
  readonly #reference: ReferenceLedger;
  readonly #told = new Map<string, Outcome>();
  #fresh: Saying[] = [];

  constructor(reference: ReferenceLedger) {
    this.#reference = reference;
  }

  ofCarrier(by: string, id: CarrierId, outcome: string): void {
    this.#note(by, id, outcome, () => this.#reference.isCommitted(id));
  }

  ofTransaction(by: string, id: TransactionId, outcome: string): void {
    // A shard alone decides what runs on it alone.
    const isLogged = onePhaseShard(id) === undefined;
    this.#note(by, id, outcome, () => !isLogged || this.#reference.transactions.has(id));
  }

  #note(by: string, id: Saying["id"], outcome: string, isInTheLog: () => boolean): void {
    if (outcome !== "committed" && outcome !== "aborted") return;
    this.#fresh.push({ by, id, outcome, isInTheLog });
  }

  /** A commit was decided: nobody may have been told otherwise. */
  committed({ carrierId, members }: CommitCommand): void {
    for (const id of [carrierId, ...members.map(({ transactionId }) => transactionId)]) {
      const isTrue = this.#told.get(id) !== "aborted";
      demand(isTrue, "T1", () => `${id} is committed, and somebody was told that it is aborted`);
    }
  }

  /** The event is over. */
  judge(): void {
    if (this.#fresh.length === 0) return;
    const sayings = this.#fresh;
    this.#fresh = [];
    for (const { by, id, outcome, isInTheLog } of sayings) {
      const before = this.#told.get(id) ?? outcome;
      demand(before === outcome, "T1", () => `${by} calls ${id} ${outcome}; it was ${before}`);
      this.#told.set(id, outcome);
      const isKnown = outcome === "aborted" || isInTheLog();
      demand(isKnown, "T1", () => `${by} calls ${id} committed, which no replica has applied`);
      const isAborted = outcome === "committed" || !this.#isCommitted(id);
      demand(isAborted, "T1", () => `${by} calls ${id} aborted, which is committed`);
    }
  }

  #isCommitted(id: Saying["id"]): boolean {
    return this.#reference.isCommitted(id) || this.#reference.transactions.has(id);
  }
}
