/** Waiting for a condition that other processes bring about. */
import { setTimeout } from "node:timers/promises";

const INTERVAL_MS = 20;

/** Resolves as soon as `condition` holds; throws, naming `what`, when it does not within the deadline. */
export async function eventually(
  what: string,
  condition: () => boolean | Promise<boolean>,
  deadlineMs = 10_000,
): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`within ${deadlineMs} ms: ${what}`);
    await setTimeout(INTERVAL_MS);
  }
}
