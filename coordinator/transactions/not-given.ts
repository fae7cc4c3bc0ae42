/**
 * What a serving leader says of an id that it has not given, and that no leader before it can have given. Of its own ballot it is the
 * only one to give ids, so whatever it has not come to yet names nothing. A higher ballot nobody has had as far as this node
 * knows; but it may have been replaced without having heard of that, so it says so only when it has led after it was asked.
 */
import type { Ballot, Origin } from "../../shared/model/ids.ts";
import { noSuchTransaction } from "./answer.ts";
import { NotLeader, type LeaderHint } from "./gateway.ts";
import type { Leadership } from "./leadership.ts";

export interface NotGivenOptions {
  readonly leadership: Pick<Leadership, "ballot">;
  readonly leader: () => LeaderHint | undefined;
  /** Proves that nobody led under a higher ballot before the call. */
  readonly stillLeads: (ballot: Ballot) => Promise<boolean>;
}

/** Rejects with `not-found`, or with `NotLeader` where another node may have given it. */
export async function refuseNotGiven(
  { ballot: asked }: Origin,
  { leadership: { ballot }, leader, stillLeads }: NotGivenOptions,
): Promise<never> {
  if (ballot === undefined) throw new NotLeader(leader());
  if (asked === ballot || (await stillLeads(ballot))) throw noSuchTransaction();
  throw new NotLeader(leader());
}
