/** Ids as tests write them down. */
import { withCheck } from "../../shared/model/id-check.ts";
import type { TransactionId } from "../../shared/model/ids.ts";

/** An id that a node reads: of a place, such as `1-1-7`, and with a shard, such as `.s1`, where one is wanted. */
export function wholeId(place: string, suffix = ""): TransactionId {
  return withCheck(`${place}-abcdefghi${suffix}` as TransactionId);
}
