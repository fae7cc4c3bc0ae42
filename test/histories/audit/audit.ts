/**
 * All or nothing, once, and as it was told: joins the logs' decisions, what each shard holds and has prepared, the rows that
 * transactions wrote in their branches, and what clients were told. The books of one party alone always balance.
 */
import { HistoryFault } from "../history/history-fault.ts";
import type { Asked, Decision, Evidence, Row, ShardEvidence } from "./evidence.ts";
import type { Finding, FindingKind } from "./findings.ts";
import { joinLogs, type JoinedLogs } from "./logs.ts";
import { OutcomeRegisters } from "./outcome-register.ts";

export interface Audit {
  readonly holds: boolean;
  readonly findings: readonly Finding[];
  readonly counts: ReadonlyMap<FindingKind, number>;
  readonly committed: number;
  readonly aborted: number;
  /** Nobody was told, no log decided it, and nothing of it is on any shard. */
  readonly unclear: number;
}

export function auditAtomicity(evidence: Evidence): Audit {
  const logs = joinLogs(evidence.logs);
  const registers = new OutcomeRegisters();
  const asked = new Map(evidence.asked.map((it) => [it.transaction, it]));
  for (const saying of evidence.sayings) {
    if (!asked.has(saying.transaction)) {
      throw new HistoryFault(
        `${saying.by} speaks of ${saying.transaction}, which nobody asked for`,
      );
    }
    registers.write(saying);
  }
  for (const transaction of logs.committed.keys()) {
    registers.write({ transaction, outcome: "committed", by: "the log" });
  }
  const books = new Books(evidence.shards, logs);
  const findings = [
    ...logs.findings,
    ...registers.splits(),
    ...evidence.asked.flatMap((it) => auditTransaction(it, books, logs, registers)),
    ...evidence.shards.flatMap((shard) => auditShard(shard, asked, logs)),
    ...auditEndings(evidence.shards, logs),
  ];
  const counts = new Map<FindingKind, number>();
  for (const { kind } of findings) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  const isCommitted = ({ transaction, writes }: Asked): boolean =>
    registers.saidBy(transaction, "committed") !== undefined ||
    writes.some((shard) => books.rows(shard, transaction).length > 0);
  const committed = evidence.asked.filter(isCommitted).length;
  const aborted = evidence.asked.filter(
    (it) => !isCommitted(it) && registers.saidBy(it.transaction, "aborted") !== undefined,
  ).length;
  const unclear = evidence.asked.length - committed - aborted;
  return { holds: findings.length === 0, findings, counts, committed, aborted, unclear };
}

class Books {
  readonly #rows = new Map<string, Row[]>();
  readonly #prepared: ReadonlySet<string>;
  readonly #logs: JoinedLogs;

  constructor(shards: readonly ShardEvidence[], logs: JoinedLogs) {
    this.#logs = logs;
    this.#prepared = new Set(
      shards.flatMap(({ shard, prepared }) => prepared.map(({ gid }) => placeOf(shard, gid))),
    );
    for (const { shard, rows } of shards) {
      for (const row of rows) {
        const found = this.#rows.get(placeOf(shard, row.transaction));
        if (found === undefined) this.#rows.set(placeOf(shard, row.transaction), [row]);
        else found.push(row);
      }
    }
  }

  rows(shard: string, transaction: string): readonly Row[] {
    return this.#rows.get(placeOf(shard, transaction)) ?? [];
  }

  /** Its branch there is decided to commit, and only that has not reached the shard. */
  isPrepared(shard: string, transaction: string): boolean {
    const branches = this.#logs.committed.get(transaction)?.branches ?? [];
    return branches.some((it) => it.shard === shard && this.#prepared.has(placeOf(shard, it.gid)));
  }
}

/** No name of a shard holds a blank. */
function placeOf(shard: string, name: string): string {
  return `${shard} ${name}`;
}

function auditTransaction(
  { transaction, writes }: Asked,
  books: Books,
  logs: JoinedLogs,
  registers: OutcomeRegisters,
): readonly Finding[] {
  const findings: Finding[] = [];
  const on = writes.filter((shard) => books.rows(shard, transaction).length > 0);
  const notOn = writes.filter((it) => !on.includes(it) && !books.isPrepared(it, transaction));
  const committedBy = registers.saidBy(transaction, "committed");
  const abortedBy = registers.saidBy(transaction, "aborted");
  if (on.length > 0 && notOn.length > 0) {
    findings.push({ kind: "half done", transaction, on, notOn });
  }
  if (on.length === 0 && notOn.length > 0 && committedBy !== undefined) {
    findings.push({ kind: "lost", transaction, by: committedBy });
  }
  if (on.length > 0 && abortedBy !== undefined) {
    findings.push({ kind: "undead", transaction, by: abortedBy, on });
  }
  const decision = logs.committed.get(transaction);
  if (on.length > 0 && writes.length > 1 && decision === undefined && logs.isComplete) {
    findings.push({ kind: "undecided", transaction, on });
  }
  return [...findings, ...on.flatMap((shard) => auditRows(shard, transaction, books, decision))];
}

function auditRows(
  shard: string,
  transaction: string,
  books: Books,
  decision: Decision | undefined,
): readonly Finding[] {
  const findings: Finding[] = [];
  const rows = books.rows(shard, transaction);
  const times = rows.length + (books.isPrepared(shard, transaction) ? 1 : 0);
  if (times > 1) findings.push({ kind: "duplicated", transaction, shard, times });
  const voted = decision?.branches.find((branch) => branch.shard === shard)?.xid;
  const found = rows.find(({ xid }) => xid !== null && xid !== voted)?.xid ?? undefined;
  if (voted !== undefined && found !== undefined) {
    findings.push({ kind: "wrong branch", transaction, shard, voted, found });
  }
  return findings;
}

function auditShard(
  { shard, rows, prepared }: ShardEvidence,
  asked: ReadonlyMap<string, Asked>,
  logs: JoinedLogs,
): readonly Finding[] {
  const decidedHere = [...logs.committed].filter(
    ([name, { branches }]) => !asked.has(name) && branches.some((it) => it.shard === shard),
  );
  const strangers = new Set([
    ...rows
      .map(({ transaction }) => transaction)
      .filter((name) => asked.get(name)?.writes.includes(shard) !== true),
    ...decidedHere.map(([name]) => name),
  ]);
  return [
    ...[...strangers].map((transaction) => ({ kind: "stranger" as const, transaction, shard })),
    ...prepared.flatMap(({ gid, xid }): readonly Finding[] => {
      const decision = logs.byGid.get(gid);
      if (decision?.outcome !== "committed") return [{ kind: "orphan", shard, gid }];
      const { carrier, branches, transactions } = decision;
      const voted = branches.find((branch) => branch.gid === gid)!.xid;
      const unfinished = { kind: "unfinished" as const, carrier, shard, gid };
      if (xid === null || xid === voted) return [unfinished];
      return [
        unfinished,
        { kind: "wrong branch", transaction: transactions.join(), shard, voted, found: xid },
      ];
    }),
  ];
}

function auditEndings(shards: readonly ShardEvidence[], logs: JoinedLogs): readonly Finding[] {
  const statuses = new Map(
    shards.flatMap(({ shard, endings }) =>
      endings.map(({ xid, status }) => [placeOf(shard, xid), status] as const),
    ),
  );
  return logs.decisions.flatMap(({ carrier, outcome, branches }) =>
    branches.flatMap(({ shard, xid }): readonly Finding[] => {
      const status = statuses.get(placeOf(shard, xid));
      const expected = outcome === "committed" ? "committed" : "aborted";
      if (status === undefined || status === expected) return [];
      return [{ kind: "contradicted", carrier, shard, xid, decided: outcome, status }];
    }),
  );
}
