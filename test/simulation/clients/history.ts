/**
 * What clients asked for and what they were told. A call is one thing that a client wants; it may take several attempts,
 * all under one idempotency key.
 */
import { assert } from "../../../shared/model/assert.ts";
import type { SynodError } from "../../../shared/model/errors.ts";
import type { Submission, SubmissionAnswer } from "../../../coordinator/transactions/gateway.ts";
import { parseTransactionId, type TransactionId } from "../../../shared/model/ids.ts";
import type { Tally } from "../checkers/tally.ts";
import { demand } from "../checkers/violation.ts";

/**
 * `open`: the client still asks. `unknown`: it was told nothing and has no key to ask again with. `refused`: not one attempt
 * began.
 */
export type Verdict = "open" | "committed" | "aborted" | "refused" | "unknown";

export interface Call {
  readonly name: string;
  readonly submission: Submission;
  /** Shards on which the call leaves exactly one entry if it commits, and none if it does not. */
  readonly writes: readonly string[];
  verdict: Verdict;
  attempts: number;
}

/** What one submission to a gateway came to, whether or not its client ever heard of it. */
export type Ending =
  | { readonly kind: "committed"; readonly answer: SubmissionAnswer }
  | { readonly kind: "failed"; readonly error: SynodError };

export interface FirstCommit {
  readonly id: string;
  readonly results: string;
}

/** Who wants to know what gateways answer. */
export interface HistoryWatch {
  acknowledged(call: Call, pendingShards: readonly string[]): void;
  toldOfTransaction(by: string, id: TransactionId, outcome: string): void;
}

export class History {
  readonly #tally: Tally;
  readonly #watch: HistoryWatch;
  readonly calls: Call[] = [];
  readonly #commits = new Map<string, FirstCommit>();

  constructor(tally: Tally, watch: HistoryWatch) {
    this.#tally = tally;
    this.#watch = watch;
  }

  begin(call: Call): void {
    this.calls.push(call);
  }

  /** Every answer of every gateway comes through here. */
  ended(call: Call, ending: Ending): void {
    if (ending.kind === "failed") {
      const { code, outcome, detail } = ending.error;
      this.#tally.count(`${code} (${outcome})`);
      if (detail.replayed === true) this.#tally.count("abort replayed");
      if (detail.transactionId !== undefined) {
        this.#watch.toldOfTransaction(call.name, transactionIn(detail.transactionId), outcome);
      }
      return;
    }
    const { response, replayed } = ending.answer;
    this.#tally.count(replayed ? "replayed" : "committed");
    this.#watch.acknowledged(call, response.pendingShards);
    // What only read leaves nothing behind, and may well read something else the next time.
    if (call.writes.length === 0) return;
    this.#watch.toldOfTransaction(call.name, transactionIn(response.id), "committed");
    const results = JSON.stringify(response.results);
    const first = this.#commits.get(call.name);
    if (first === undefined) {
      this.#commits.set(call.name, { id: response.id, results });
      return;
    }
    demand(
      first.id === response.id,
      "exactly once",
      () => `${call.name} was answered with ${first.id} and then with ${response.id}`,
    );
    demand(
      first.results === results,
      "same key, same answer",
      () => `${call.name} got ${first.results} and then ${results}`,
    );
  }

  /** What was told first of a call that writes; undefined when no gateway has called it committed. */
  firstCommit(call: Call): FirstCommit | undefined {
    return this.#commits.get(call.name);
  }

  get open(): readonly Call[] {
    return this.calls.filter(({ verdict }) => verdict === "open");
  }
}

function transactionIn(id: string): TransactionId {
  const parsed = parseTransactionId(id);
  assert(parsed !== undefined, "an answer names a transaction");
  return parsed;
}
