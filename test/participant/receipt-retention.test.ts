/** Receipts are counted now and then, and deleted in batches, oldest first, until they are within their bounds. */
import {
  keepReceiptsFresh,
  RECEIPT_LIMITS,
  type ReceiptStore,
  type ReceiptSurvey,
} from "../../participant/receipt-retention.ts";
import { collectedLog } from "../support/collected-log.ts";
import { settled, TestClock } from "./test-clock.ts";

const LIMITS = { ...RECEIPT_LIMITS, maxAgeMs: 1_000 };
const MINUTE_MS = 60_000;

/** So many receipts beyond a limit; deleting may be made to fail. */
class CountedStore implements ReceiptStore {
  surplus: number;
  fails = false;
  readonly deleted: number[] = [];

  constructor(surplus: number) {
    this.surplus = surplus;
  }

  surveyReceipts(): Promise<ReceiptSurvey> {
    const survey = { bytes: 0, oldestAgeMs: undefined, surplusUpTo: "then" };
    return Promise.resolve({ entries: this.surplus, ...survey });
  }

  deleteReceiptsUpTo(upTo: string, limit: number): Promise<number> {
    if (this.fails) return Promise.reject(new Error("the database does not answer"));
    expect(upTo).toBe("then");
    const count = Math.min(limit, this.surplus);
    this.surplus -= count;
    this.deleted.push(count);
    return Promise.resolve(count);
  }
}

async function passTime(clock: TestClock, ms: number): Promise<void> {
  await clock.advance(ms);
  await settled();
}

test("what is beyond a limit goes in batches with pauses, and then nothing for a minute", async () => {
  const clock = new TestClock();
  const store = new CountedStore(1_200);
  const retention = keepReceiptsFresh(store, LIMITS, clock, collectedLog());
  expect(retention.survey).toBeUndefined();
  await settled();
  expect(store.deleted).toEqual([500]);
  expect(retention.survey?.entries).toBe(1_200);
  await passTime(clock, 100);
  await passTime(clock, 100);
  expect(store.deleted).toEqual([500, 500, 200]);
  await passTime(clock, MINUTE_MS - 1);
  expect(store.deleted).toHaveLength(3);
  await passTime(clock, 1);
  expect(store.deleted).toEqual([500, 500, 200, 0]);
  expect(retention.survey?.entries).toBe(0);
  retention.stop();
});

test("a database that does not answer is tried again later", async () => {
  const clock = new TestClock();
  const store = new CountedStore(10);
  const log = collectedLog();
  store.fails = true;
  const retention = keepReceiptsFresh(store, LIMITS, clock, log);
  await settled();
  expect(log.lines).toEqual(["warn: old receipts are not deleted now"]);
  store.fails = false;
  await passTime(clock, MINUTE_MS);
  expect(store.deleted).toEqual([10]);
  retention.stop();
});

test("when it is stopped nothing more is deleted", async () => {
  const clock = new TestClock();
  const store = new CountedStore(2_000);
  const retention = keepReceiptsFresh(store, LIMITS, clock, collectedLog());
  await settled();
  retention.stop();
  await passTime(clock, 10 * MINUTE_MS);
  expect(store.deleted).toEqual([500]);
});
