/** Opens the branches of a transaction with isolation `snapshot`, and begins them anew until what they see agrees. */
import { unreachable } from "../../../shared/model/assert.ts";
import { SynodError } from "../../../shared/model/errors.ts";
import type { ShardId } from "../../../shared/model/ids.ts";
import { INTERACTIVE_LIMITS } from "../../../shared/model/interactive.ts";
import type { Clock, Logger } from "../../../shared/model/ports.ts";
import type { StatementReply } from "../../../shared/model/protocol.ts";
import type { Agreements } from "../agreements.ts";
import { NotLeader } from "../gateway.ts";
import { parseSnapshot, type Snapshot } from "../visibility.ts";
import type { HeldInteractive } from "./held-interactive.ts";
import type { EndReason, Opening } from "./machine.ts";

export interface OpeningOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly agreements: Agreements;
}

/** Resolves with why the transaction cannot be opened; undefined when it is. */
export async function openOnSnapshot(
  held: HeldInteractive,
  { shards }: Opening,
  { clock, logger, agreements }: OpeningOptions,
): Promise<EndReason | undefined> {
  const { ballot, branches } = held;
  const deadlineMs = clock.monotonicMs() + INTERACTIVE_LIMITS.maxOpeningMs;
  const take = async (shard: ShardId): Promise<Snapshot> => {
    if (held.state.kind !== "opening") throw new NotTaken({ kind: "rolledBack" });
    let reply: StatementReply;
    try {
      reply = await branches.takeSnapshot(shard);
    } catch (error) {
      logger.debug({ error, shard }, "no snapshot");
      throw new NotTaken({ kind: "unreachable", shard });
    }
    return snapshotFrom(shard, reply);
  };
  try {
    await agreements.reach({ shards: new Set(shards), ballot, deadlineMs, take });
    return undefined;
  } catch (error) {
    if (error instanceof NotTaken) return error.reason;
    if (error instanceof NotLeader) return { kind: "leadershipLost" };
    if (error instanceof SynodError) return { kind: "noAgreement" };
    throw error;
  }
}

class NotTaken extends Error {
  override readonly name = "NotTaken";
  readonly reason: EndReason;

  constructor(reason: EndReason) {
    super(reason.kind);
    this.reason = reason;
  }
}

function snapshotFrom(shard: ShardId, reply: StatementReply): Snapshot {
  switch (reply.kind) {
    case "ran":
      return parseSnapshot(reply.snapshot ?? "");
    case "failed":
    case "no":
      throw new NotTaken({ kind: "refused", shard, refusal: reply.refusal });
    default:
      return unreachable(reply);
  }
}
