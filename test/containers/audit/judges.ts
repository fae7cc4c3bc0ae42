/** Everybody who has a say on a run, once all is quiet: each in words, and nothing when it holds. */
import type { TransferOutcome } from "../../../demo/transfers/transfer.ts";
import { auditAtomicity } from "../../histories/audit/audit.ts";
import type { NodeLog } from "../../histories/audit/evidence.ts";
import { tellFinding } from "../../histories/audit/findings.ts";
import { transactionsOf, type Transaction } from "../../histories/history/transactions.ts";
import { checkListAppend } from "../../histories/list-append/check.ts";
import { tellStory } from "../../histories/list-append/story.ts";
import type { CheckerVerdict } from "../../histories/report/input.ts";
import type { Cluster } from "../cluster.ts";
import { auditCounters } from "../load/counters.ts";
import type { Bank } from "../load/bank.ts";
import type { Recording } from "../recording.ts";
import { gatherEvidence } from "./evidence.ts";

export interface Judged {
  readonly verdicts: readonly CheckerVerdict[];
  /** Transactions that the atomicity audit found committed. */
  readonly committed: number;
  /** Decisions that were joined with what the shards hold. */
  readonly decisions: number;
}

export async function judge(
  cluster: Cluster,
  recording: Recording,
  bank: Bank,
  logs: readonly NodeLog[],
): Promise<Judged> {
  const transactions = transactionsOf(recording.events);
  const outcomes = new Map(transactions.map((it) => [it.name, outcomeOf(it)]));
  const books = await bank.audit(outcomes);
  const counters = await auditCounters(cluster.databases, transactions);
  const audit = auditAtomicity(await gatherEvidence(transactions, logs, cluster.databases));
  const order = checkListAppend(transactions, "promised");
  const stories = order.anomalies
    .filter(({ isForbidden }) => isForbidden)
    .map((judged) => tellStory(judged, transactions, order.keys));
  const verdicts: readonly CheckerVerdict[] = [
    verdict("books of the bank", books),
    verdict("exactly-once counters", counters),
    verdict("atomicity, joined with the decision logs", audit.findings.map(tellFinding)),
    verdict("list-append", order.isComplete ? stories : [...stories, "the search was cut short"]),
  ];
  const decisions = Math.max(0, ...logs.map((log) => log.decisions.length));
  return { verdicts, committed: audit.committed, decisions };
}

function verdict(checker: string, findings: readonly string[]): CheckerVerdict {
  return { checker, holds: findings.length === 0, findings };
}

function outcomeOf(transaction: Transaction): TransferOutcome {
  switch (transaction.outcome) {
    case "committed":
      return { kind: "committed" };
    case "aborted":
      return { kind: "aborted", code: transaction.reason };
    case "unclear":
      return { kind: "unresolved", reason: transaction.reason };
  }
}
