/** Branches that are prepared and not finished yet: books that are read before they are would show half of a transfer. */
import { setTimeout } from "node:timers/promises";

const INTERVAL_MS = 50;
export const PREPARED_DEADLINE_MS = 10_000;

/** Of the database that it is asked in; one column, `gid`. */
export const PREPARED =
  "select gid from pg_prepared_xacts where database = current_database() order by prepared";

/** Resolves when no shard has one, or at the deadline: what is left then belongs in the books. */
export async function awaitFinished(
  readPrepared: () => Promise<readonly (readonly string[])[]>,
  deadlineMs: number,
): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  while (performance.now() < deadline) {
    const shards = await readPrepared();
    if (shards.every((gids) => gids.length === 0)) return;
    await setTimeout(INTERVAL_MS);
  }
}
