/**
 * The books, from the databases themselves: what is on every shard against what the log decided and clients were told.
 */
import type { CommitCommand } from "../../../coordinator/transactions/command.ts";
import type { Receipt } from "../../../participant/shard/shard.ts";
import type { TransactionId } from "../../../shared/model/ids.ts";
import type { History, Call } from "../clients/history.ts";
import type { ReferenceLedger } from "./reference-ledger.ts";
import { demand } from "./violation.ts";

/** What a database holds, committed and prepared. */
export interface ShardBooks {
  readonly shard: string;
  /** How often this call was carried out here. */
  marksOf(call: string): number;
  /** The calls that were carried out at least once. */
  markedCalls(): readonly string[];
  /** The money. */
  total(): number;
  preparedGids(): readonly string[];
  /** Of what was committed on this shard alone. */
  readonly receipts: ReadonlyMap<TransactionId, Receipt>;
  receiptByKey(key: string): Receipt | undefined;
}

/** A branch that its database has prepared. */
export interface PreparedBranch {
  readonly shard: string;
  readonly gid: string;
  readonly xid: string | null;
}

/** How a prepared branch ended on its shard. */
export interface EndedBranch {
  readonly shard: string;
  readonly gid: string;
  readonly carrierId: string;
  readonly how: "committed" | "rolledBack" | "sabotaged";
}

export class Auditor {
  readonly #reference: ReferenceLedger;
  readonly #books: readonly ShardBooks[];
  readonly #openingTotal: number;
  readonly #prepared = new Map<string, PreparedBranch>();
  readonly #ended = new Map<string, EndedBranch>();

  constructor(reference: ReferenceLedger, books: readonly ShardBooks[], openingTotal: number) {
    this.#reference = reference;
    this.#books = books;
    this.#openingTotal = openingTotal;
  }

  /** T3, T5: no branch ends against the decision, and none commits before there is one. */
  branchEnded(branch: EndedBranch): void {
    const { shard, gid, carrierId, how } = branch;
    this.#ended.set(gid, branch);
    const isCommitted = this.#reference.isCommitted(carrierId);
    if (how === "committed") {
      demand(isCommitted, "T3", () => `${shard} committed ${gid}, which no replica has decided`);
    } else if (how === "rolledBack") {
      demand(!isCommitted, "T5", () => `${shard} rolled back ${gid}, which is committed`);
    }
  }

  branchPrepared(branch: PreparedBranch): void {
    this.#prepared.set(branch.gid, branch);
  }

  /** T2: what is decided names branches that are prepared, as they were voted for. */
  decided({ carrierId, branches }: CommitCommand): void {
    for (const { shard, gid, xid } of branches) {
      const prepared = this.#prepared.get(gid);
      const isTrue = prepared?.shard === shard && prepared.xid === xid;
      demand(isTrue, "T2", () => `${carrierId} is decided, but ${gid} was not prepared as ${xid}`);
    }
  }

  /** T5: a decision to commit that comes after one of its branches was rolled back. */
  carrierCommitted({ carrierId, branches }: CommitCommand): void {
    for (const { gid } of branches) {
      const ended = this.#ended.get(gid);
      demand(
        ended?.how !== "rolledBack",
        "T5",
        () => `${carrierId} is committed, but ${ended?.shard ?? ""} had rolled back ${gid}`,
      );
    }
  }

  /** A commit is acknowledged: it is visible, exactly once, wherever the answer does not call it pending. */
  acknowledged(call: Call, pendingShards: readonly string[]): void {
    for (const books of this.#of(call.writes)) {
      if (pendingShards.includes(books.shard)) continue;
      const count = books.marksOf(call.name);
      demand(
        count === 1,
        "acknowledged is applied",
        () => `${call.name} was acknowledged when done ${count} times on ${books.shard}`,
      );
    }
  }

  #of(shards: readonly string[]): readonly ShardBooks[] {
    return this.#books.filter(({ shard }) => shards.includes(shard));
  }

  /** When all is quiet. */
  closeTheBooks(history: History): void {
    for (const call of history.calls) this.#auditCall(call);
    this.#auditStrangers(history);
    this.#auditBranches();
    const total = this.#books.reduce((sum, books) => sum + books.total(), 0);
    demand(total === this.#openingTotal, "sum", () => `${this.#openingTotal} has become ${total}`);
  }

  #auditCall({ name, writes, verdict }: Call): void {
    const written = this.#of(writes);
    const counts = written.map((books) => books.marksOf(name));
    const shown = (): string => {
      const done = written.map(({ shard }, index) => `${counts[index] ?? 0} times on ${shard}`);
      return `${name} (${verdict}) was done ${done.join(", ")}`;
    };
    demand(
      counts.every((count) => count <= 1),
      "exactly once",
      shown,
    );
    demand(new Set(counts).size <= 1, "atomicity", shown);
    const [count] = counts;
    if (count === undefined) return;
    if (verdict === "committed") demand(count === 1, "no lost commit", shown);
    if (verdict === "aborted" || verdict === "refused") demand(count === 0, "honest abort", shown);
  }

  /** Log against shards: every branch that was ever prepared ended as the log says. */
  #auditBranches(): void {
    for (const [gid, { shard }] of this.#prepared) {
      const ended = this.#ended.get(gid);
      const how = ended === undefined ? "still prepared" : ended.how;
      const isCommitted = ended !== undefined && this.#reference.isCommitted(ended.carrierId);
      const expected = isCommitted ? "committed" : "rolledBack";
      const isTrue = how === expected || how === "sabotaged";
      demand(isTrue, "log and shards", () => `${gid} is ${how} on ${shard}, not ${expected}`);
    }
    for (const { outcome, command } of this.#reference.decisions.values()) {
      if (outcome === "void") continue;
      for (const { gid, shard } of command.branches) {
        const isEnded = this.#ended.has(gid);
        demand(
          isEnded,
          "log and shards",
          () => `${gid} is committed, but has not ended on ${shard}`,
        );
      }
    }
  }

  /** Marks only where a call asked for them. */
  #auditStrangers({ calls }: History): void {
    const byName = new Map(calls.map((call) => [call.name, call]));
    for (const books of this.#books) {
      for (const name of books.markedCalls()) {
        const isAsked = byName.get(name)?.writes.includes(books.shard) === true;
        demand(isAsked, "validity", () => `${name} was done on ${books.shard}, not asked for`);
      }
    }
  }
}
