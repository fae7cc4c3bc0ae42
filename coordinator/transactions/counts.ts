/** How transactions have ended on this node since it started: for people who watch, never for decisions. */
import { SynodError, type Outcome } from "../../shared/model/errors.ts";
import type { SubmissionAnswer } from "./gateway.ts";

type Way = "one_shot one_phase" | "one_shot two_phase" | "interactive two_phase";

interface Tallied {
  readonly kind: "one_shot" | "interactive";
  readonly path: "one_phase" | "two_phase";
  readonly outcome: Outcome;
  readonly count: number;
}

const WAYS: readonly (Pick<Tallied, "kind" | "path"> & { readonly way: Way })[] = [
  { way: "one_shot one_phase", kind: "one_shot", path: "one_phase" },
  { way: "one_shot two_phase", kind: "one_shot", path: "two_phase" },
  { way: "interactive two_phase", kind: "interactive", path: "two_phase" },
];
const OUTCOMES: readonly Outcome[] = ["committed", "aborted", "not_started", "unknown"];

export class TransactionCounts {
  readonly #ended = new Map<string, number>();
  readonly #aborts = new Map<string, number>();
  /** Answers of earlier attempts, given again. */
  readonly #replays = { committed: 0, aborted: 0 };

  /** Passes on what comes of it. */
  async counted(way: Way, attempt: Promise<SubmissionAnswer>): Promise<SubmissionAnswer> {
    try {
      const answer = await attempt;
      if (!answer.replayed) this.committed(way);
      return answer;
    } catch (error) {
      this.failed(way, error);
      throw error;
    }
  }

  committed(way: Way): void {
    increment(this.#ended, `${way} committed`);
  }

  failed(way: Way, error: unknown): void {
    if (!(error instanceof SynodError)) return;
    increment(this.#ended, `${way} ${error.outcome}`);
    if (error.outcome === "aborted") increment(this.#aborts, error.code);
  }

  /** Nothing has failed: its client asked for that. */
  rolledBack(way: Way): void {
    increment(this.#ended, `${way} aborted`);
    increment(this.#aborts, "rolled-back");
  }

  replayed(outcome: "committed" | "aborted"): void {
    this.#replays[outcome] += 1;
  }

  ended(): readonly Tallied[] {
    return WAYS.flatMap(({ way, kind, path }) =>
      OUTCOMES.map((outcome) => {
        return { kind, path, outcome, count: this.#ended.get(`${way} ${outcome}`) ?? 0 };
      }),
    );
  }

  /** By error code; `rolled-back` where there was none. */
  get aborts(): ReadonlyMap<string, number> {
    return this.#aborts;
  }

  get replays(): { readonly committed: number; readonly aborted: number } {
    return this.#replays;
  }
}

function increment(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}
