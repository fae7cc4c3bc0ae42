/** A history survives its file, and one that no run can have made is refused. */
import { runStore } from "./generator/store.ts";
import type { HistoryEvent } from "./history/event.ts";
import { HistoryFault } from "./history/history-fault.ts";
import { decodeEvents, encodeEvent, MAX_LINE_LENGTH } from "./history/ndjson.ts";
import { transactionsOf } from "./history/transactions.ts";

const common = { process: 1, transaction: "t1" };
const operations = [{ kind: "append" as const, shard: "s1", key: "x", value: 1 }];
const invoke: HistoryEvent = { event: "invoke", ...common, atMs: 1, operations };
const ok: HistoryEvent = { event: "ok", ...common, atMs: 2, acknowledged: "applied", operations };

test("events are written one a line and read back the same", () => {
  const events = runStore({ seed: 5, transactions: 300 });
  const text = events.map(encodeEvent).join("");
  expect(text.split("\n")).toHaveLength(events.length + 1);
  expect(decodeEvents(text.split("\n"))).toEqual(events);
});

test.each([
  ["no JSON", "{", /^line 1: not JSON/],
  ["an unknown event", JSON.stringify({ ...invoke, event: "maybe" }), /^line 1: /],
  ["a field too many", JSON.stringify({ ...invoke, extra: 1 }), /^line 1: .*extra/s],
  ["a line too long", " ".repeat(MAX_LINE_LENGTH + 1), /^line 1: longer than/],
])("%s is refused with its line", (_, line, message) => {
  expect(() => decodeEvents([line])).toThrow(HistoryFault);
  expect(() => decodeEvents([line])).toThrow(message);
});

test("a transaction is what was asked, and how it ended", () => {
  expect(transactionsOf([invoke, ok])).toMatchObject([{ outcome: "committed", endMs: 2 }]);
  expect(transactionsOf([invoke])).toMatchObject([{ outcome: "unclear" }]);
  const fail: HistoryEvent = { event: "fail", ...common, atMs: 2, reason: "deadlock" };
  expect(transactionsOf([invoke, fail])).toMatchObject([
    { outcome: "aborted", reason: "deadlock" },
  ]);
});

test.each<[string, readonly HistoryEvent[], RegExp]>([
  ["an end without a beginning", [ok], /ends without running/],
  ["a name used twice", [invoke, ok, { ...invoke, atMs: 3 }], /was invoked before/],
  ["two at once", [invoke, { ...invoke, transaction: "t2" }], /process still runs t1/],
  ["time that goes back", [invoke, { ...ok, atMs: 0 }], /is of 0 ms, after one of 1 ms/],
  [
    "an end of other operations",
    [invoke, { ...ok, operations: [{ ...operations[0]!, value: 2 }] }],
    /did other operations/,
  ],
])("%s is refused", (_, events, message) => {
  expect(() => transactionsOf(events)).toThrow(HistoryFault);
  expect(() => transactionsOf(events)).toThrow(message);
});
