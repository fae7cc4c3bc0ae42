/**
 * Brings a connection back to where the next user expects it: no transaction, no settings, no other role, no locks.
 */
import type { ServerConnection } from "./server-connection.ts";
import { resetRoleStep, resetStep, rollbackStep, unlockStep } from "./session-steps.ts";
import { QUERY_CANCELED } from "./sqlstate.ts";

/** A cancel that was sent before may hit the first attempt; there is none for the second. */
const ATTEMPTS = 2;
/** Beyond it the server is taken for lost. */
const DEADLINE_MS = 5_000;

/** Resolves false when the connection is lost or cannot be brought back; it is of no use then. */
export async function cleanUp(connection: ServerConnection): Promise<boolean> {
  const { statements } = connection;
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    const steps = [
      rollbackStep(statements),
      resetStep(statements),
      resetRoleStep(statements),
      unlockStep(statements),
    ];
    const end = await connection.runWithin(steps, DEADLINE_MS).then(
      (report) => report.end,
      () => undefined,
    );
    if (end?.kind === "done") return connection.transactionStatus === "I";
    if (end?.error.code !== QUERY_CANCELED) return false;
  }
  return false;
}
