/** The bank: money moves between accounts of different shards, in one request or statement by statement. */
import type { Synod } from "../../../client/sdk.ts";
import { type Account, seedAccounts } from "../../../demo/accounts.ts";
import { readBooks } from "../../../demo/transfers/audit.ts";
import { balanceBooks, FINDINGS, type Books, type Finding } from "../../../demo/transfers/books.ts";
import type { SentTransfer } from "../../../demo/transfers/tally.ts";
import {
  operationsOf,
  randomTransfer,
  type Transfer,
  type TransferOutcome,
} from "../../../demo/transfers/transfer.ts";
import { assert } from "../../../shared/model/assert.ts";
import type { Operation as HistoryOperation } from "../../histories/history/event.ts";
import type { Database } from "../cluster.ts";
import type { Recording } from "../recording.ts";
import { mark } from "./tables.ts";
import { CALL_DEADLINE_MS, oneShot, told, type Task, type Told, type Workload } from "./task.ts";

const ACCOUNTS_PER_SHARD = 100;
const OPENING_BALANCE = 1_000;
const MAX_EXAMPLES = 5;

export class Bank {
  readonly oneShots: Workload = { next: () => this.#oneShot() };
  readonly interactive: Workload = { next: () => this.#interactive() };
  readonly #databases: readonly Database[];
  readonly #recording: Recording;
  readonly #openings: readonly Account[];
  readonly #accounts: ReadonlyMap<string, readonly string[]>;
  readonly #sent = new Map<string, Transfer>();
  #transfers = 0;

  private constructor(databases: readonly Database[], recording: Recording) {
    this.#databases = databases;
    this.#recording = recording;
    this.#accounts = new Map(databases.map(({ shard }) => [shard, accountsOf(shard)]));
    this.#openings = [...this.#accounts.values()].flatMap((ids) =>
      ids.map((id) => ({ id, balance: OPENING_BALANCE })),
    );
  }

  static async open(databases: readonly Database[], recording: Recording): Promise<Bank> {
    const bank = new Bank(databases, recording);
    for (const { shard, url } of databases) {
      const accounts = accountsOf(shard).map((id) => ({ id, balance: OPENING_BALANCE }));
      await seedAccounts({ shard, url }, accounts);
    }
    return bank;
  }

  /** What is wrong with the books, in words. `outcomes` by name, of all that was sent. */
  async audit(outcomes: ReadonlyMap<string, TransferOutcome>): Promise<readonly string[]> {
    const sent = new Map<string, SentTransfer>();
    for (const [id, transfer] of this.#sent) {
      const outcome = outcomes.get(id) ?? { kind: "unresolved", reason: "no end" };
      sent.set(id, { transfer, outcome });
    }
    const shards = await readBooks(this.#databases);
    const opening = new Map(this.#openings.map(({ id, balance }) => [id, balance]));
    const overdrawn = shards.flatMap(({ balances }) =>
      [...balances].filter(([, balance]) => balance < 0).map(([id]) => `${id} is overdrawn`),
    );
    return [...overdrawn, ...wrongWith(balanceBooks(shards, sent, opening))];
  }

  #newTransfer(): { readonly transfer: Transfer; readonly operations: HistoryOperation[] } {
    const transfer = randomTransfer(this.#accounts);
    this.#sent.set(transfer.id, transfer);
    this.#transfers += 1;
    const value = this.#transfers;
    const operations = [transfer.from, transfer.to].map(({ shard, accountId }) => {
      return { kind: "append" as const, shard, key: accountId, value };
    });
    return { transfer, operations };
  }

  #oneShot(): Task {
    const { transfer, operations } = this.#newTransfer();
    const { id, from, to } = transfer;
    const marks = [from, to].map(({ shard }) => mark(shard, id));
    const statements = [...operationsOf(transfer), ...marks];
    return { name: id, operations, run: (synod) => oneShot(synod, id, statements, operations) };
  }

  #interactive(): Task {
    const { transfer, operations } = this.#newTransfer();
    return {
      name: transfer.id,
      operations,
      run: (synod) => this.#runInteractive(synod, transfer, operations),
    };
  }

  /** Once: another run would be another transaction under the same name. */
  async #runInteractive(
    synod: Synod,
    transfer: Transfer,
    operations: readonly HistoryOperation[],
  ): Promise<Told> {
    const { id, from, to } = transfer;
    const statements = [...operationsOf(transfer), ...[from, to].map((it) => mark(it.shard, id))];
    let isCommitAskedFor = false;
    const run = (): Promise<unknown> =>
      synod.begin(
        async (tx) => {
          this.#recording.names.set(tx.id, id);
          for (const { shard, expect, ...statement } of statements) {
            assert("sql" in statement, "the bank names no statements");
            const { sql, params = [] } = statement;
            await tx.query(shard, sql, params, expect === undefined ? {} : { expect });
          }
          isCommitAskedFor = true;
        },
        { maxRuns: 1, deadlineMs: CALL_DEADLINE_MS },
      );
    const answer = await told(run, () => ({
      kind: "committed",
      acknowledged: "decided",
      operations,
    }));
    const isOver = answer.kind !== "unclear" || isCommitAskedFor;
    return isOver ? answer : { kind: "aborted", reason: "its commit was never asked for" };
  }
}

function accountsOf(shard: string): readonly string[] {
  return Array.from({ length: ACCOUNTS_PER_SHARD }, (_, index) => `${shard}-${index}`);
}

/** A transfer without a definite outcome is counted elsewhere; here it must only be whole or absent. */
function wrongWith({ findings, sumBefore, sumAfter }: Books): readonly string[] {
  const found = (Object.entries(findings) as [Finding, readonly string[]][])
    .filter(([kind, list]) => kind !== "unresolved" && list.length > 0)
    .map(
      ([kind, list]) => `${list.length} ${FINDINGS[kind]}: ${list.slice(0, MAX_EXAMPLES).join()}`,
    );
  const isSumKept = sumBefore === sumAfter;
  return isSumKept ? found : [...found, `the sum was ${sumBefore} and is ${sumAfter}`];
}
