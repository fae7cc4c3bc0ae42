/** The logs of all nodes taken together: what is decided, and where two of them cannot both be right. */
import type { Decision, NodeLog } from "./evidence.ts";
import type { Finding } from "./findings.ts";

export interface JoinedLogs {
  readonly decisions: readonly Decision[];
  /** Of a transaction that was decided to commit. */
  readonly committed: ReadonlyMap<string, Decision>;
  /** Whose branch a gid names, whether committed or void. */
  readonly byGid: ReadonlyMap<string, Decision>;
  readonly isComplete: boolean;
  readonly findings: readonly Finding[];
}

export function joinLogs(logs: readonly NodeLog[]): JoinedLogs {
  const findings: Finding[] = [];
  const byCarrier = new Map<string, { readonly node: string; readonly decision: Decision }>();
  for (const { node, decisions } of logs) {
    for (const decision of decisions) {
      const known = byCarrier.get(decision.carrier);
      if (known === undefined) byCarrier.set(decision.carrier, { node, decision });
      else if (!isSame(known.decision, decision)) {
        const nodes = [known.node, node] as const;
        findings.push({ kind: "logs disagree", carrier: decision.carrier, nodes });
      }
    }
  }
  const decisions = [...byCarrier.values()].map(({ decision }) => decision);
  const committed = new Map<string, Decision>();
  for (const decision of decisions.filter(({ outcome }) => outcome === "committed")) {
    for (const transaction of decision.transactions) {
      const carriers = [committed.get(transaction)?.carrier, decision.carrier] as const;
      if (carriers[0] === undefined) committed.set(transaction, decision);
      else {
        const both = [carriers[0], carriers[1]] as const;
        findings.push({ kind: "committed twice", transaction, carriers: both });
      }
    }
  }
  const byGid = new Map(
    decisions.flatMap((decision) => decision.branches.map(({ gid }) => [gid, decision] as const)),
  );
  return { decisions, committed, byGid, isComplete: logs.some((it) => it.isComplete), findings };
}

function isSame(one: Decision, other: Decision): boolean {
  return (
    one.outcome === other.outcome &&
    one.transactions.join() === other.transactions.join() &&
    one.branches.map(textOf).sort().join() === other.branches.map(textOf).sort().join()
  );
}

function textOf({ shard, gid, xid }: Decision["branches"][number]): string {
  return `${shard} ${gid} ${xid}`;
}
