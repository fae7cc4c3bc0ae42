/** What the branches of a carrier reported, for each of its members. A branch knows only the members that are on its shard. */
import type { OperationResult, TransactionResponse } from "../../shared/model/api.ts";
import type { ShardId } from "../../shared/model/ids.ts";
import { inRequestOrder } from "./answer.ts";
import type { CarrierMember, Held } from "./held-carrier.ts";

export function membersOn(
  shard: ShardId,
  members: readonly CarrierMember[],
): readonly CarrierMember[] {
  return members.filter(({ operations }) => operations.has(shard));
}

export function resultsOf(
  { members, results }: Held,
  member: CarrierMember,
): readonly OperationResult[] {
  const own = new Map<ShardId, readonly OperationResult[]>();
  for (const shard of member.operations.keys()) {
    const place = members.length === 1 ? 0 : membersOn(shard, members).indexOf(member);
    own.set(shard, results.get(shard)?.[place] ?? []);
  }
  return inRequestOrder(member.operations, own);
}

export function responseTo(
  held: Held,
  member: CarrierMember,
  pending: readonly ShardId[],
): TransactionResponse {
  return {
    id: member.transactionId,
    outcome: "committed",
    results: resultsOf(held, member),
    pendingShards: pending.filter((shard) => member.operations.has(shard)),
  };
}
