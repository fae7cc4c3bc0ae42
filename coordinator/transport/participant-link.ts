/**
 * The port from a coordinator node to the participants.
 *
 * Contract: a request is delivered at most once, and only to the incarnation of the participant that the link is
 * connected to; it is never sent again by the link. `request` resolves with the reply, or rejects with `LinkLost`
 * when the connection ended or the deadline passed before the reply came: then nothing is known about the request.
 * It rejects with `LinkDown` when it was certainly not sent.
 */
import type { ShardId } from "../../shared/model/ids.ts";
import type {
  BranchReplies,
  BranchRequest,
  ParticipantHello,
} from "../../shared/model/protocol.ts";

export type ReplyTo<Request extends BranchRequest> = BranchReplies[Request["kind"]];

export interface ParticipantLinks {
  readonly shards: readonly ShardId[];
  /** The participant's hello on the connection that is up now; undefined while there is none. */
  connected(shard: ShardId): ParticipantHello | undefined;
  request<Request extends BranchRequest>(
    shard: ShardId,
    request: Request,
    timeoutMs: number,
  ): Promise<ReplyTo<Request>>;
  /** Called after each change of `connected(shard)`. */
  onChange(notify: (shard: ShardId) => void): void;
}

export class LinkDown extends Error {
  override readonly name = "LinkDown";
}

export class LinkLost extends Error {
  override readonly name = "LinkLost";
}
