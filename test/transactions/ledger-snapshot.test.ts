/** S3, S4: a ledger restored from a snapshot is the ledger that it was taken of, in all that it says and will ever say. */
import fc from "fast-check";
import type { CarrierId } from "../../shared/model/ids.ts";
import type { Command } from "../../coordinator/transactions/command.ts";
import {
  DEFAULT_LEDGER_OPTIONS,
  Ledger,
  type LedgerOptions,
} from "../../coordinator/transactions/ledger/ledger.ts";
import { SnapshotMalformed } from "../../coordinator/transactions/ledger/records.ts";
import {
  barrier,
  carrier,
  commit,
  complete,
  key,
  roundBallot,
  transaction,
} from "./support/commands.ts";

const MINUTE_MS = 60_000;
const CHUNK_BYTES = 64 * 1024;
const ROUNDS = [1, 2, 3];
/** In four chunks of committed sequences; 512 has its carrier in the first and its member in the second. */
const NUMBERS = [1, 2, 512, 600, 1200, 1700];
const KEYS = ["k1", "k2", "k3", "00000000-fffe-7abc-8def-0123456789ab"];
/** Small enough for random commands to meet every bound. */
const SMALL: LedgerOptions = {
  answers: { retentionMs: 7 * MINUTE_MS, maxEntries: 3, maxBytes: 1_700 },
  decisionRetentionMs: 5 * MINUTE_MS,
  maxAdvanceMs: 8 * MINUTE_MS,
  voidsCommitsBelowFloor: true,
};

const anyRound = fc.constantFrom(...ROUNDS);
const anyNumber = fc.constantFrom(...NUMBERS);
const anyAtMs = fc.integer({ min: 0, max: 20 }).map((minutes) => minutes * MINUTE_MS);
const anyText = fc.string({ unit: "binary", maxLength: 200 });
const anyCommit = fc
  .tuple(anyRound, anyNumber, anyAtMs, fc.option(fc.constantFrom(...KEYS)), anyText)
  .map(([round, number, atMs, name, text]) =>
    commit(round, number, {
      atMs,
      idempotency: name === null ? null : key(name),
      results: [{ rowCount: 1, rows: [{ text, "7": null, ["__proto__"]: 1 }] }],
    }),
  );
const anyCommand: fc.Arbitrary<Command> = fc
  .oneof(
    fc.tuple(anyRound, anyAtMs).map(([round, atMs]) => barrier(round, atMs)),
    fc.tuple(anyRound, anyNumber, anyAtMs).map((of) => complete(...of)),
    { arbitrary: anyCommit, weight: 2 },
  )
  .map((command) => JSON.parse(JSON.stringify(command)) as Command);
const anyCommands = fc.array(anyCommand, { maxLength: 40 });

function bytesOf(chunks: Iterable<Uint8Array>): Buffer {
  return Buffer.concat([...chunks]);
}

function apply(ledger: Ledger, commands: readonly Command[]): void {
  for (const command of commands) ledger.apply(command);
}

function restored(chunks: Iterable<Uint8Array>, options: LedgerOptions = SMALL): Ledger {
  const ledger = new Ledger(options);
  ledger.restore(chunks);
  return ledger;
}

/** All that can be asked of a ledger. */
function sayings(ledger: Ledger): unknown {
  const ids = ROUNDS.flatMap((round) => NUMBERS.map((number) => [round, number] as const));
  return {
    floor: ledger.floor,
    carriers: ids.map((of) => ledger.carrierOutcome(carrier(...of))),
    members: ids.map((of) => ledger.transactionOutcome(transaction(...of))),
    incomplete: [...ledger.incomplete()],
    answers: KEYS.map((name) => ledger.firstAnswer(name)),
    expired: ledger.isExpiredKey("00000000-ffff-7abc-8def-0123456789ab"),
    counts: [ledger.incompleteCount, ledger.answerCount, ledger.decisionBytes],
  };
}

test("S3: a snapshot and the commands after it give the same as all commands, byte for byte", () => {
  fc.assert(
    fc.property(anyCommands, anyCommands, (before, after) => {
      const replayed = new Ledger(SMALL);
      apply(replayed, before);
      const installed = restored(replayed.snapshot());
      expect(sayings(installed)).toEqual(sayings(replayed));
      for (const command of after) {
        expect(installed.apply(command)).toEqual(replayed.apply(command));
      }
      expect(sayings(installed)).toEqual(sayings(replayed));
      expect(bytesOf(installed.snapshot()).equals(bytesOf(replayed.snapshot()))).toBe(true);
    }),
    { numRuns: 1_000 },
  );
});

test("the restored ledger replaces whatever was there before", () => {
  fc.assert(
    fc.property(anyCommands, anyCommands, (commands, others) => {
      const [ledger, other] = [new Ledger(SMALL), new Ledger(SMALL)];
      apply(ledger, commands);
      apply(other, others);
      other.restore(ledger.snapshot());
      expect(sayings(other)).toEqual(sayings(ledger));
      expect(bytesOf(other.snapshot()).equals(bytesOf(ledger.snapshot()))).toBe(true);
    }),
  );
});

test("commands that are applied while a snapshot is taken change nothing in it", () => {
  fc.assert(
    fc.property(anyCommands, anyCommands, (before, meanwhile) => {
      const ledger = new Ledger(SMALL);
      apply(ledger, before);
      const expected = bytesOf(ledger.snapshot());
      const snapshot = ledger.snapshot();
      apply(ledger, meanwhile);
      expect(bytesOf(snapshot).equals(expected)).toBe(true);
    }),
  );
});

/** More than one chunk, with a carrier that is longer than a chunk. */
function largeLedger(): Ledger {
  const ledger = new Ledger();
  const text = "é".repeat(CHUNK_BYTES);
  apply(ledger, [
    barrier(1),
    commit(1, 1, { results: [{ rowCount: 1, rows: [{ text }] }] }),
    commit(1, 2, { idempotency: key("k1"), results: [{ rowCount: 1, rows: [{ text }] }] }),
    ...Array.from({ length: 1_000 }, (_none, index) =>
      commit(1, 3 + index, { idempotency: key(`other-${index}`) }),
    ),
    ...Array.from({ length: 900 }, (_none, index) => complete(1, 3 + index)),
  ]);
  return ledger;
}

test("chunks are at most 64 KiB, and may be cut anew anywhere on their way", () => {
  const ledger = largeLedger();
  const chunks = [...ledger.snapshot()];
  expect(chunks.length).toBeGreaterThan(4);
  expect(chunks.slice(0, -1).every(({ length }) => length === CHUNK_BYTES)).toBe(true);
  expect(chunks.at(-1)?.length).toBeLessThanOrEqual(CHUNK_BYTES);
  const bytes = bytesOf(chunks);
  for (const size of [1 + bytes.length, 30_011, 1_009]) {
    const cut = Array.from({ length: Math.ceil(bytes.length / size) }, (_none, index) =>
      bytes.subarray(index * size, (index + 1) * size),
    );
    const again = restored(cut, DEFAULT_LEDGER_OPTIONS);
    expect(bytesOf(again.snapshot()).equals(bytes)).toBe(true);
  }
});

test("an empty ledger has a snapshot, too", () => {
  const ledger = restored(new Ledger(SMALL).snapshot());
  expect(sayings(ledger)).toEqual(sayings(new Ledger(SMALL)));
});

test("S4: a key that was answered before the snapshot is answered, and guarded, after it", () => {
  const ledger = new Ledger();
  apply(ledger, [barrier(1), commit(1, 1, { idempotency: key("k1", "print") }), complete(1, 1)]);
  const again = restored(ledger.snapshot(), DEFAULT_LEDGER_OPTIONS);
  expect(again.firstAnswer("k1")).toMatchObject({ fingerprint: "print" });
  expect(again.apply(commit(1, 2, { idempotency: key("k1") })).kind).toBe("void");
});

test("what is void, forgotten or owed stays so over a snapshot", () => {
  const ledger = new Ledger(SMALL);
  const late = 8 * MINUTE_MS;
  apply(ledger, [barrier(1), commit(1, 1), complete(1, 1), commit(1, 600), barrier(2)]);
  apply(ledger, [complete(1, 999, late)]);
  const again = restored(ledger.snapshot());
  expect(again.carrierOutcome(carrier(1, 1)).kind).toBe("forgotten");
  expect(again.apply(commit(1, 2)).kind).toBe("void");
  expect(again.carrierOutcome(carrier(1, 2)).kind).toBe("forgotten");
  expect([...again.incomplete()].map(({ carrierId }) => carrierId)).toEqual([carrier(1, 600)]);
  again.apply(complete(1, 600, late));
  expect(again.carrierOutcome(carrier(1, 600))).toEqual({ kind: "committed", carrier: undefined });
  again.apply(complete(1, 999, 2 * late));
  expect(again.carrierOutcome(carrier(1, 600)).kind).toBe("forgotten");
});

test("bytes that were cut, prolonged or exchanged are refused, and nothing is changed by them", () => {
  const source = new Ledger();
  apply(source, [
    barrier(1),
    commit(1, 1, { idempotency: key("k1") }),
    commit(1, 2, { idempotency: key("k2") }),
    complete(1, 2),
  ]);
  const whole = bytesOf(source.snapshot());
  const target = new Ledger();
  apply(target, [barrier(2), commit(2, 1)]);
  const untouched = bytesOf(target.snapshot());
  const malformed = [
    ...Array.from({ length: whole.length }, (_none, length) => whole.subarray(0, length)),
    Buffer.concat([whole, Buffer.from([0])]),
    Buffer.concat([whole, Buffer.from([1, 0, 0, 0, 7])]),
    Buffer.from([0xff, 0xff, 0xff, 0xff, 1]),
    withText(whole, '"version":2', '"version":1'),
    withText(whole, '"floor":1025', '"floor":1.25'),
    withText(whole, '"carriers":1', '"carriers":0'),
    withText(whole, '"carrierId":"1-1-1"', '"carrierId":"2-1-1"'),
    withText(whole, '"kind":"commit"', '"kind":"closed"'),
    withText(whole, '"transactionId":"1-', '"transactionId":"*-'),
    withText(whole, '["k2"', '["k1"'),
  ];
  for (const bytes of malformed) {
    expect(() => {
      target.restore([bytes]);
    }).toThrow(SnapshotMalformed);
  }
  expect(bytesOf(target.snapshot()).equals(untouched)).toBe(true);
  target.restore([whole]);
  expect(target.floor).toBe(roundBallot(1));
});

test("a carrier that is owed but not among the committed is refused", () => {
  const source = new Ledger();
  apply(source, [barrier(1), commit(1, 1)]);
  const whole = bytesOf(source.snapshot());
  const moved = withText(whole, '"carrierId":"1-1-1"', '"carrierId":"1-1-9"');
  expect(() => restored([moved])).toThrow("what is owed is not committed");
  expect(restored([whole]).carrierOutcome("1-1-1" as CarrierId).kind).toBe("committed");
});

/** Of equal length, so that the records keep their places. */
function withText(bytes: Buffer, from: string, to: string): Buffer {
  const at = bytes.indexOf(from);
  expect([at >= 0, to.length]).toEqual([true, from.length]);
  return Buffer.concat([bytes.subarray(0, at), Buffer.from(to), bytes.subarray(at + to.length)]);
}
