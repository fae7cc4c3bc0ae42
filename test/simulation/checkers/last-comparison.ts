/**
 * When all is quiet, every outcome once more in all the places that know it: the log, each node's ledger, the shards, and
 * what clients were told under their keys.
 */
import { onePhaseShard, parseTransactionId } from "../../../shared/model/ids.ts";
import type { Call, FirstCommit, History } from "../clients/history.ts";
import type { CoordinatorHost } from "../world/coordinator-host.ts";
import type { ShardBooks } from "./audit.ts";
import type { Checkers } from "./checkers.ts";
import { demand } from "./violation.ts";

export interface Compared {
  readonly checkers: Checkers;
  readonly history: History;
  readonly coordinators: readonly CoordinatorHost[];
  readonly books: readonly ShardBooks[];
}

export function compareEverywhere(compared: Compared): void {
  const { checkers, history, coordinators } = compared;
  for (const { machine, node } of coordinators) {
    if (node !== undefined) checkers.agreement.compareDecisions(machine, node);
  }
  for (const call of history.calls) {
    const first = history.firstCommit(call);
    if (first !== undefined) compareCall(compared, call, first);
    const isTold = call.verdict !== "committed" || call.writes.length === 0 || first !== undefined;
    demand(isTold, "same outcome", () => `${call.name} is committed, though nobody said so`);
  }
}

function compareCall(compared: Compared, call: Call, first: FirstCommit): void {
  const { verdict, name } = call;
  const isPossible = verdict !== "aborted" && verdict !== "refused";
  demand(isPossible, "same outcome", () => `${name} is ${verdict}, and ${first.id} committed`);
  const id = parseTransactionId(first.id);
  const shard = id && onePhaseShard(id);
  if (shard === undefined) compareLogged(compared, call, first);
  else compareReceipt(compared, shard, call, first);
}

/** What several shards did is in the log, and so in every ledger; under its key so are its results. */
function compareLogged({ checkers, coordinators }: Compared, call: Call, first: FirstCommit): void {
  const { name, submission } = call;
  const isLogged = checkers.reference.transactions.has(first.id);
  demand(isLogged, "same outcome", () => `${name} committed as ${first.id}, not in the log`);
  const key = submission.idempotency?.key;
  if (key === undefined) return;
  for (const { machine, node } of coordinators) {
    const answer = node?.ledger.firstAnswer(key);
    const isSame =
      answer?.transactionId === first.id && JSON.stringify(answer.results) === first.results;
    demand(isSame, "same key, same answer", () => `${machine} no longer answers ${key} as before`);
  }
}

/** What one shard did, it has a receipt of. */
function compareReceipt(
  { books }: Compared,
  shard: string,
  { name, submission }: Call,
  first: FirstCommit,
): void {
  const here = books.find((other) => other.shard === shard);
  const key = submission.idempotency?.key;
  const receipt =
    key === undefined
      ? [...(here?.receipts.values() ?? [])].find(({ transactionId }) => transactionId === first.id)
      : here?.receiptByKey(key);
  const isSame =
    receipt?.transactionId === first.id && JSON.stringify(receipt.results) === first.results;
  demand(isSame, "same key, same answer", () => `${shard} has no receipt of ${name} as answered`);
}
