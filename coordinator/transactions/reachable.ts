/** Whether shards can be asked at all, before anything begins. */
import { SynodError } from "../../shared/model/errors.ts";
import type { ShardId } from "../../shared/model/ids.ts";
import type { ParticipantLinks } from "../transport/participant-link.ts";

/** Throws with outcome `not_started`. */
export function assertReachable(links: ParticipantLinks, shards: readonly ShardId[]): void {
  for (const shard of shards) {
    if (!links.shards.includes(shard)) {
      throw new SynodError("unknown-shard", `there is no shard ${shard}`, { shard });
    }
    if (links.connected(shard) !== undefined) continue;
    const detail = { shard, outcome: "not_started", retryAfterMs: 1_000 } as const;
    throw new SynodError("shard-unavailable", `shard ${shard} cannot be reached`, detail);
  }
}
