/** How transactions have ended on this node since it started: for people who watch, never for decisions. */
import { SynodError, type Outcome } from "../../shared/model/errors.ts";
import type { SubmissionAnswer } from "./gateway.ts";

type CommitPath = "one_phase" | "two_phase";

interface Tallied {
  readonly path: CommitPath;
  readonly outcome: Outcome;
  readonly count: number;
}

const PATHS: readonly CommitPath[] = ["one_phase", "two_phase"];
const OUTCOMES: readonly Outcome[] = ["committed", "aborted", "not_started", "unknown"];

export class TransactionCounts {
  readonly #ended = new Map<string, number>();
  readonly #aborts = new Map<string, number>();
  /** Answers of earlier attempts, given again. */
  readonly #replays = { committed: 0, aborted: 0 };

  /** Passes on what comes of it. */
  async counted(path: CommitPath, attempt: Promise<SubmissionAnswer>): Promise<SubmissionAnswer> {
    try {
      const answer = await attempt;
      if (!answer.replayed) increment(this.#ended, `${path} committed`);
      return answer;
    } catch (error) {
      if (error instanceof SynodError) {
        increment(this.#ended, `${path} ${error.outcome}`);
        if (error.outcome === "aborted") increment(this.#aborts, error.code);
      }
      throw error;
    }
  }

  replayed(outcome: "committed" | "aborted"): void {
    this.#replays[outcome] += 1;
  }

  ended(): readonly Tallied[] {
    return PATHS.flatMap((path) =>
      OUTCOMES.map((outcome) => {
        return { path, outcome, count: this.#ended.get(`${path} ${outcome}`) ?? 0 };
      }),
    );
  }

  /** By error code. */
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
