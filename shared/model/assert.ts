/**
 * Programmer errors: kept on in production, because going on with a broken invariant in a commit protocol is
 * worse than stopping. The message states the invariant positively ("the promised ballot never decreases").
 * Errors of the world (bad input, lost links, full disks) are never asserted; see errors.ts.
 */
export class InvariantViolation extends Error {
  override readonly name = "InvariantViolation";
}

export function assert(condition: boolean, invariant: string): asserts condition {
  if (!condition) throw new InvariantViolation(invariant);
}

/** Closes a switch over a union: adding a case without handling it becomes a type error. */
export function unreachable(value: never): never {
  throw new InvariantViolation(`every case is handled, but met ${JSON.stringify(value)}`);
}
