/**
 * Deletes receipts that are older than they need be, in small batches with pauses, so that no branch waits for it.
 */
import type { Cancel, Clock, Logger } from "../shared/model/ports.ts";

export interface ReceiptStore {
  /** Up to `limit` receipts older than that; resolves with how many. */
  deleteOldReceipts(maxAgeMs: number, limit: number): Promise<number>;
}

const BATCH = 500;
const BETWEEN_BATCHES_MS = 100;
const BETWEEN_SWEEPS_MS = 60_000;

/** Returns how to stop. */
export function keepReceiptsFresh(
  store: ReceiptStore,
  maxAgeMs: number,
  clock: Clock,
  logger: Logger,
): () => void {
  let isStopped = false;
  let cancel: Cancel = () => undefined;
  const sweep = async (): Promise<void> => {
    let pauseMs = BETWEEN_SWEEPS_MS;
    try {
      if ((await store.deleteOldReceipts(maxAgeMs, BATCH)) === BATCH) pauseMs = BETWEEN_BATCHES_MS;
    } catch (error) {
      logger.warn({ error }, "old receipts are not deleted now");
    }
    if (!isStopped) cancel = clock.after(pauseMs, () => void sweep());
  };
  void sweep();
  return () => {
    isStopped = true;
    cancel();
  };
}
