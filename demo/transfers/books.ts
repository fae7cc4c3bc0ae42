/**
 * Whether the books balance: compares what the databases hold with what the clients were told. A function of both,
 * so that it can be tested with books that do not balance.
 */
import type { SentTransfer } from "./tally.ts";
import type { Transfer } from "./transfer.ts";

/** What one shard's database holds. */
export interface ShardBooks {
  readonly shard: string;
  readonly balances: ReadonlyMap<string, number>;
  readonly entries: readonly Entry[];
  /** Names of prepared transactions that nobody finished. */
  readonly prepared: readonly string[];
}

export interface Entry {
  readonly transferId: string;
  readonly accountId: string;
  readonly amount: number;
}

export const FINDINGS = {
  lost: "acknowledged, but missing",
  half: "with one side only, or another than asked for",
  duplicated: "applied more than once",
  undead: "reported aborted, but present",
  unresolved: "without a definite outcome",
  strangers: "present, but never sent",
  misposted: "accounts that differ from their entries",
  prepared: "prepared branches left",
} as const;

export type Finding = keyof typeof FINDINGS;

export interface Books {
  readonly sumBefore: number;
  readonly sumAfter: number;
  /** Complete transfers found in the databases. */
  readonly transfers: number;
  /** Every finding that is not empty is one reason why the books do not balance. */
  readonly findings: Readonly<Record<Finding, readonly string[]>>;
  readonly balance: boolean;
}

export function balanceBooks(
  shards: readonly ShardBooks[],
  sent: ReadonlyMap<string, SentTransfer>,
  openingBalances: ReadonlyMap<string, number>,
): Books {
  const found = entriesByTransfer(shards);
  const findings: Record<Finding, string[]> = {
    lost: [],
    half: [],
    duplicated: [],
    undead: [],
    unresolved: [],
    strangers: [...found.keys()].filter((id) => !sent.has(id)),
    misposted: shards.flatMap((shard) => mispostedAccounts(shard, openingBalances)),
    prepared: shards.flatMap(({ shard, prepared }) => prepared.map((gid) => `${shard}: ${gid}`)),
  };
  for (const { transfer, outcome } of sent.values()) {
    const presence = presenceOf(transfer, found.get(transfer.id) ?? []);
    if (outcome.kind === "unresolved") findings.unresolved.push(transfer.id);
    if (presence === "half" || presence === "duplicated") findings[presence].push(transfer.id);
    if (presence === "absent" && outcome.kind === "committed") findings.lost.push(transfer.id);
    if (presence !== "absent" && outcome.kind === "aborted") findings.undead.push(transfer.id);
  }
  const sumBefore = sum(openingBalances.values());
  const sumAfter = sum(shards.flatMap(({ balances }) => [...balances.values()]));
  const clean = Object.values(findings).every((list) => list.length === 0);
  return {
    sumBefore,
    sumAfter,
    transfers: found.size - findings.half.length,
    findings,
    balance: clean && sumBefore === sumAfter,
  };
}

/** An entry, and the shard it was found on. */
interface FoundEntry extends Entry {
  readonly shard: string;
}

function entriesByTransfer(shards: readonly ShardBooks[]): ReadonlyMap<string, FoundEntry[]> {
  const byTransfer = new Map<string, FoundEntry[]>();
  for (const { shard, entries } of shards) {
    for (const entry of entries) {
      const list = byTransfer.get(entry.transferId);
      if (list === undefined) byTransfer.set(entry.transferId, [{ ...entry, shard }]);
      else list.push({ ...entry, shard });
    }
  }
  return byTransfer;
}

type Presence = "absent" | "complete" | "half" | "duplicated";

function presenceOf(transfer: Transfer, entries: readonly FoundEntry[]): Presence {
  if (entries.length === 0) return "absent";
  const { from, to, amount } = transfer;
  const count = (shard: string, accountId: string, change: number): number =>
    entries.filter(
      (entry) => entry.shard === shard && entry.accountId === accountId && entry.amount === change,
    ).length;
  const debits = count(from.shard, from.accountId, -amount);
  const credits = count(to.shard, to.accountId, amount);
  if (debits !== credits || debits + credits !== entries.length) return "half";
  return debits === 1 ? "complete" : "duplicated";
}

function mispostedAccounts(
  { balances, entries }: ShardBooks,
  openingBalances: ReadonlyMap<string, number>,
): readonly string[] {
  const expected = new Map<string, number>();
  for (const accountId of balances.keys()) {
    expected.set(accountId, openingBalances.get(accountId) ?? 0);
  }
  for (const { accountId, amount } of entries) {
    expected.set(accountId, (expected.get(accountId) ?? 0) + amount);
  }
  return [...expected].filter(([id, amount]) => balances.get(id) !== amount).map(([id]) => id);
}

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
