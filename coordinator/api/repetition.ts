/**
 * What the answer to a later attempt says of an earlier one that was lost. That one may still be on its way, and may be carried out
 * after the later one was refused: so "not started" is said of one attempt alone, and what is true of a whole
 * transaction (it committed, it is aborted for ever) of all attempts about it.
 */
import { ProblemAnswer } from "../../shared/model/answers.ts";
import type { Outcome } from "../../shared/model/errors.ts";
import type { Reply } from "./forwarding.ts";

/**
 * What a second attempt can do: `harmless` (a read), `sameKey` (a write that runs once however often it is asked),
 * `sameTransaction` (a call about a transaction that has begun, which is carried out once), or `runsAgain`.
 */
export type Repetition = "harmless" | "sameKey" | "sameTransaction" | "runsAgain";

const OK = 200;
const Refusal = ProblemAnswer.pick({ outcome: true });

/** Of a refusal. Under a key it may be another attempt, a transaction of its own, that is spoken of. */
export function speaksOfAll(repetition: Repetition, outcome: Outcome): boolean {
  return repetition === "sameTransaction" && outcome !== "not_started";
}

/** Not if it cannot be read. */
export function replySpeaksOfAll(repetition: Repetition, { status, body }: Reply): boolean {
  if (status === OK) return true;
  const refusal = Refusal.safeParse(parsed(body));
  return refusal.success && speaksOfAll(repetition, refusal.data.outcome);
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString()) as unknown;
  } catch {
    return undefined;
  }
}
