/** What the demo's transfers record is judged by the same checkers. */
import type { ShardBooks } from "../../demo/transfers/books.ts";
import type { Transfer, TransferOutcome } from "../../demo/transfers/transfer.ts";
import { auditAtomicity } from "./audit/audit.ts";
import { askedOf, sayingsOf } from "./audit/feeds.ts";
import { tellFinding } from "./audit/findings.ts";
import { evidenceOfBooks, historyOfTransfers, type RecordedTransfer } from "./feeds/transfers.ts";
import { transactionsOf } from "./history/transactions.ts";

function transferOf(id: string): Transfer {
  const [from, to] = ["s1", "s2"].map((shard) => ({ shard, accountId: `${shard}-account` }));
  return { id, from: from!, to: to!, amount: 5 };
}

function recorded(id: string, client: number, sentAtMs: number, outcome: TransferOutcome) {
  const transfer = transferOf(id);
  return { transfer, outcome, client, sentAtMs, endedAtMs: sentAtMs + 10 };
}

const RECORDED: readonly RecordedTransfer[] = [
  recorded("a", 1, 0, { kind: "committed" }),
  recorded("b", 1, 10, { kind: "aborted", code: "deadlock" }),
  recorded("c", 2, 5, { kind: "unresolved", reason: "" }),
];

function booksOf(shard: string, ...transferIds: readonly string[]): ShardBooks {
  const entries = transferIds.map((transferId) => ({ transferId, accountId: "x", amount: 5 }));
  return { shard, balances: new Map(), entries, prepared: [] };
}

function auditOf(...books: readonly ShardBooks[]) {
  const transactions = transactionsOf(historyOfTransfers(RECORDED));
  const asked = transactions.map(askedOf);
  const sayings = sayingsOf(transactions);
  return auditAtomicity({ asked, sayings, logs: [], shards: books.map(evidenceOfBooks) });
}

test("transfers of several clients become one history in the order of time", () => {
  const events = historyOfTransfers(RECORDED);
  expect(events.map(({ event, transaction }) => `${event} ${transaction}`)).toEqual([
    ...["invoke a", "invoke c", "ok a", "invoke b", "info c", "fail b"],
  ]);
});

test("books that agree with what was told are cleared", () => {
  expect(auditOf(booksOf("s1", "a"), booksOf("s2", "a"))).toMatchObject({
    ...{ holds: true, committed: 1, aborted: 1, unclear: 1 },
  });
});

test("transfers with one side, or after an abort, are named", () => {
  const { findings } = auditOf(booksOf("s1", "a", "b", "c"), booksOf("s2", "a", "b"));
  expect(findings.map(tellFinding)).toEqual([
    "c is done on s1, and neither done nor prepared on s2",
    "b is aborted by the word of the answer to process 1, and done on s1, s2",
  ]);
});
