/**
 * What clients asked for and what they were told. A call is one thing that a client wants; it may take several attempts,
 * all under one idempotency key.
 */
import type { SynodError } from "../../../shared/model/errors.ts";
import type { Submission, SubmissionAnswer } from "../../../coordinator/transactions/gateway.ts";
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

interface FirstCommit {
  readonly id: string;
  readonly results: string;
}

export class History {
  readonly #tally: Tally;
  readonly #onAcknowledged: (call: Call, pendingShards: readonly string[]) => void;
  readonly calls: Call[] = [];
  readonly #commits = new Map<string, FirstCommit>();

  constructor(
    tally: Tally,
    onAcknowledged: (call: Call, pendingShards: readonly string[]) => void,
  ) {
    this.#tally = tally;
    this.#onAcknowledged = onAcknowledged;
  }

  begin(call: Call): void {
    this.calls.push(call);
  }

  /** Every answer of every gateway comes through here. */
  ended(call: Call, ending: Ending): void {
    if (ending.kind === "failed") {
      this.#tally.count(`${ending.error.code} (${ending.error.outcome})`);
      return;
    }
    const { response, replayed } = ending.answer;
    this.#tally.count(replayed ? "replayed" : "committed");
    this.#onAcknowledged(call, response.pendingShards);
    // What only read leaves nothing behind, and may well read something else the next time.
    if (call.writes.length === 0) return;
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

  get open(): readonly Call[] {
    return this.calls.filter(({ verdict }) => verdict === "open");
  }
}
