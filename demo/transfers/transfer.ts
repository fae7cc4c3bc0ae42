/**
 * One transfer: what a client asks for, as a cross-shard transaction, and what became of it.
 */
import { newIdempotencyKey, type Operation } from "../../client/sdk.ts";

interface Posting {
  readonly shard: string;
  readonly accountId: string;
}

export interface Transfer {
  /** A UUIDv7; also the idempotency key of its transaction. */
  readonly id: string;
  readonly from: Posting;
  readonly to: Posting;
  readonly amount: number;
}

/** `unresolved`: no definite outcome could be learnt in time; the books cannot be called balanced then. */
export type TransferOutcome =
  | { readonly kind: "committed" }
  | { readonly kind: "aborted"; readonly code: string }
  | { readonly kind: "unresolved"; readonly reason: string };

/** The accounts of each shard; at least two shards, each with at least one account. */
export type AccountsByShard = ReadonlyMap<string, readonly string[]>;

const HIGHEST_AMOUNT = 100;

/** Any account to any account of another shard, at random. */
export function randomTransfer(accounts: AccountsByShard): Transfer {
  const shards = [...accounts.keys()];
  const fromIndex = randomBelow(shards.length);
  const toIndex = (fromIndex + 1 + randomBelow(shards.length - 1)) % shards.length;
  return {
    id: newIdempotencyKey(),
    from: randomPosting(accounts, shards[fromIndex]),
    to: randomPosting(accounts, shards[toIndex]),
    amount: 1 + randomBelow(HIGHEST_AMOUNT),
  };
}

function randomPosting(accounts: AccountsByShard, shard: string | undefined): Posting {
  const ids = shard === undefined ? [] : (accounts.get(shard) ?? []);
  const accountId = ids[randomBelow(ids.length)];
  if (shard === undefined || accountId === undefined) throw new Error("every shard has an account");
  return { shard, accountId };
}

function randomBelow(below: number): number {
  return Math.floor(Math.random() * below);
}

const POST = "insert into transfer_entries (transfer_id, account_id, amount) values ($1, $2, $3)";
const MOVE = "update accounts set balance = balance + $1 where id = $2";

/** On each side the balance is moved, and an entry is written that says by what. */
export function operationsOf({ id, from, to, amount }: Transfer): readonly Operation[] {
  const side = ({ shard, accountId }: Posting, change: number): readonly Operation[] => [
    { shard, sql: MOVE, params: [change, accountId], expect: { rowCount: 1 } },
    { shard, sql: POST, params: [id, accountId, change], expect: { rowCount: 1 } },
  ];
  return [...side(from, -amount), ...side(to, amount)];
}
