/**
 * Keeps receipts within their bounds of age, number and size: counts them now and then, and deletes what is beyond, the oldest
 * first, in small batches with pauses, so that no branch waits for it.
 */
import type { Cancel, Clock, Logger } from "../shared/model/ports.ts";

export interface ReceiptLimits {
  readonly maxAgeMs: number;
  readonly maxEntries: number;
  readonly maxBytes: number;
}

export interface ReceiptSurvey {
  readonly entries: number;
  readonly bytes: number;
  /** Undefined when there is none. */
  readonly oldestAgeMs: number | undefined;
  /** What was written up to here is beyond a limit: a time of the store, in its own words. */
  readonly surplusUpTo: string;
}

export interface ReceiptStore {
  surveyReceipts(limits: ReceiptLimits): Promise<ReceiptSurvey>;
  /** Up to `limit` receipts that were written up to then, oldest first; resolves with how many. */
  deleteReceiptsUpTo(upTo: string, limit: number): Promise<number>;
}

export const RECEIPT_LIMITS = { maxEntries: 500_000, maxBytes: 256 * 1024 * 1024 } as const;

const BATCH = 500;
const BETWEEN_BATCHES_MS = 100;
/** Counting reads the whole table. */
const BETWEEN_SWEEPS_MS = 60_000;

export interface ReceiptRetention {
  /** As it was last counted; undefined before the first time. */
  readonly survey: ReceiptSurvey | undefined;
  stop(): void;
}

export function keepReceiptsFresh(
  store: ReceiptStore,
  limits: ReceiptLimits,
  clock: Clock,
  logger: Logger,
): ReceiptRetention {
  let isStopped = false;
  let cancel: Cancel = () => undefined;
  let survey: ReceiptSurvey | undefined;
  const again = (work: () => Promise<void>, afterMs: number): void => {
    if (!isStopped) cancel = clock.after(afterMs, () => void work());
  };
  const deleteSome = async (upTo: string): Promise<void> => {
    const isMore = (await store.deleteReceiptsUpTo(upTo, BATCH)) === BATCH;
    if (isMore) again(() => guarded(() => deleteSome(upTo)), BETWEEN_BATCHES_MS);
    else again(sweep, BETWEEN_SWEEPS_MS);
  };
  const guarded = async (work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      logger.warn({ error }, "old receipts are not deleted now");
      again(sweep, BETWEEN_SWEEPS_MS);
    }
  };
  const sweep = (): Promise<void> =>
    guarded(async () => {
      survey = await store.surveyReceipts(limits);
      await deleteSome(survey.surplusUpTo);
    });
  void sweep();
  return {
    get survey() {
      return survey;
    },
    stop: () => {
      isStopped = true;
      cancel();
    },
  };
}
