/** Makes evidence of what is written down elsewhere: histories, and answers of the API. */
import type { Transaction } from "../history/transactions.ts";
import type { Asked, Saying } from "./evidence.ts";

export function askedOf({ name, operations }: Transaction): Asked {
  const writing = operations.filter(({ kind }) => kind === "append" || kind === "writeRegister");
  return { transaction: name, writes: [...new Set(writing.map(({ shard }) => shard))] };
}

export function sayingsOf(transactions: readonly Transaction[]): readonly Saying[] {
  return transactions.flatMap(({ name, process, outcome }) =>
    sayingOf(`the answer to process ${process}`, name, outcome),
  );
}

/** `told` is a history's outcome, an answer's `outcome` or a status' `state`: only two words of them are definite. */
export function sayingOf(by: string, transaction: string, told: string): readonly Saying[] {
  return told === "committed" || told === "aborted" ? [{ by, transaction, outcome: told }] : [];
}
