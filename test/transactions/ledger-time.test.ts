/** Whatever clocks leaders had: what is remembered, and for how long, is as it should be once a right one is heard. */
import fc from "fast-check";
import type { Command } from "../../coordinator/transactions/command.ts";
import { DEFAULT_LEDGER_OPTIONS, Ledger } from "../../coordinator/transactions/ledger/ledger.ts";
import {
  LedgerTime,
  MAX_ADVANCE_PER_COMMAND_MS,
} from "../../coordinator/transactions/ledger/ledger-time.ts";
import { barrier, carrier, commit, complete, key } from "./support/commands.ts";

const SECOND_MS = 1_000;
const YEAR_MS = 365 * 24 * 60 * 60 * SECOND_MS;
const NOW_MS = 1_800_000_000_000;
const { retentionMs } = DEFAULT_LEDGER_OPTIONS.answers;
/** Short, so that a test sees its end. */
const OPTIONS = { ...DEFAULT_LEDGER_OPTIONS, decisionRetentionMs: 2 * retentionMs };
/** Carriers of these numbers lie in chunks of their own. */
const [IN_FIRST, IN_SECOND] = [1, 600];

const anyClock = fc.oneof(
  fc.integer({ min: -2 * YEAR_MS, max: 2 * YEAR_MS }).map((offMs) => NOW_MS + offMs),
  fc.constantFrom(0, NOW_MS, NOW_MS + YEAR_MS, Number.MAX_SAFE_INTEGER),
);
const anyClocks = fc.array(anyClock, { maxLength: 30 });

/** A UUIDv7 made at that time. */
function uuid7(atMs: number): string {
  const time = atMs.toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7abc-8def-0123456789ab`;
}

/** What leaders of rounds 1, 2, … wrote by these clocks, each with a client's key that says the right time. */
function writtenBy(clocks: readonly number[]): readonly Command[] {
  return clocks.flatMap((atMs, index) => {
    const round = index + 1;
    const idempotency = key(uuid7(NOW_MS - clocks.length + index));
    return [
      barrier(round, atMs),
      commit(round, 1, { atMs, idempotency }),
      complete(round, 1, atMs),
    ];
  });
}

test("time goes by what lies between two commands, never back, and never by more than the bound at once", () => {
  fc.assert(
    fc.property(anyClocks, (clocks) => {
      const time = new LedgerTime(MAX_ADVANCE_PER_COMMAND_MS);
      for (const atMs of clocks) {
        const { passedMs, lastAtMs } = time.image();
        time.heard(atMs);
        const wanted = Math.min(MAX_ADVANCE_PER_COMMAND_MS, Math.max(0, atMs - lastAtMs));
        expect(time.passedMs - passedMs).toBe(wanted);
      }
    }),
  );
});

test("after whatever clocks, from the second command of a right one on, ages are what they are by that clock", () => {
  fc.assert(
    fc.property(anyClocks, (clocks) => {
      const ledger = new Ledger(OPTIONS);
      for (const command of writtenBy(clocks)) ledger.apply(command);
      const round = clocks.length + 1;
      ledger.apply(barrier(round, NOW_MS));
      ledger.apply(commit(round, IN_FIRST, { atMs: NOW_MS, idempotency: key("k") }));
      ledger.apply(complete(round, IN_FIRST, NOW_MS));
      ledger.apply(commit(round, IN_SECOND, { atMs: NOW_MS }));
      const goOn = (fromMs: number, toMs: number): void => {
        for (let atMs = fromMs; atMs <= toMs; atMs += 10 * SECOND_MS) {
          ledger.apply(complete(round, 999, NOW_MS + atMs));
        }
      };
      const said = (): unknown => [
        ledger.firstAnswer("k") !== undefined,
        ledger.carrierOutcome(carrier(round, IN_FIRST)).kind,
      ];
      goOn(0, retentionMs);
      expect(said()).toEqual([true, "committed"]);
      goOn(retentionMs, 2 * retentionMs);
      expect(said()).toEqual([false, "committed"]);
      goOn(2 * retentionMs, 2 * retentionMs + 10 * SECOND_MS);
      expect(said()).toEqual([false, "forgotten"]);
      expect(ledger.isExpiredKey(uuid7(NOW_MS + 2 * retentionMs))).toBe(false);
      expect([ledger.answerCount, ledger.decisionBytes]).toEqual([0, 128]);
    }),
    { numRuns: 30 },
  );
});

test("an answer outlives a leader whose clock is a year ahead, and what that one wrote ages like the rest", () => {
  const ledger = new Ledger(OPTIONS);
  const [early, ahead] = [uuid7(NOW_MS), uuid7(NOW_MS + SECOND_MS)];
  for (const command of [
    barrier(1, NOW_MS),
    commit(1, 1, { atMs: NOW_MS, idempotency: key(early) }),
    barrier(2, NOW_MS + YEAR_MS),
    commit(2, 1, { atMs: NOW_MS + YEAR_MS, idempotency: key(ahead) }),
    barrier(3, NOW_MS + 2 * SECOND_MS),
  ]) {
    ledger.apply(command);
  }
  expect([ledger.firstAnswer(early), ledger.firstAnswer(ahead)]).not.toContain(undefined);
  for (let atMs = NOW_MS; ledger.answerCount > 0; atMs += 10 * SECOND_MS) {
    ledger.apply(complete(3, 999, atMs));
    expect(atMs).toBeLessThan(NOW_MS + retentionMs + 20 * SECOND_MS);
  }
  expect([early, ahead].map((name) => ledger.isExpiredKey(name))).toEqual([true, true]);
  expect(ledger.isExpiredKey(uuid7(NOW_MS + retentionMs))).toBe(false);
});

test("a ledger goes on with its time from a snapshot", () => {
  const ledger = new Ledger(OPTIONS);
  for (const command of writtenBy([NOW_MS])) ledger.apply(command);
  for (let atMs = 0; atMs <= retentionMs; atMs += 10 * SECOND_MS) {
    ledger.apply(complete(1, 999, NOW_MS + atMs));
  }
  const again = new Ledger(OPTIONS);
  again.restore(ledger.snapshot());
  expect(again.answerCount).toBe(1);
  again.apply(complete(1, 999, NOW_MS + retentionMs + 1));
  expect(again.answerCount).toBe(0);
});
