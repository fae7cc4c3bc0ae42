/** Commands, shortly. */
import type { OperationResult } from "../../../shared/model/api.ts";
import type { Ballot, CarrierId, ShardId, TransactionId, Xid } from "../../../shared/model/ids.ts";
import { ballot, carrierId, nodeId, transactionId } from "../../../shared/model/ids.ts";
import type { Idempotency } from "../../../shared/model/protocol.ts";
import type {
  BarrierCommand,
  CommitCommand,
  CompleteCommand,
} from "../../../coordinator/transactions/command.ts";

/** The ballot of round `round`, owned by node 1. */
export const roundBallot = (round: number): Ballot => ballot(round, nodeId(1));

/** Carriers have odd sequences, their only member the even one after. */
export const carrier = (round: number, number: number): CarrierId =>
  carrierId(roundBallot(round), 2 * number - 1);
export const transaction = (round: number, number: number): TransactionId =>
  transactionId(roundBallot(round), 2 * number, "tailtail");

export const key = (name: string, fingerprint = "f"): Idempotency => ({ key: name, fingerprint });

export const barrier = (round: number, atMs = 0): BarrierCommand => {
  return { kind: "barrier", ballot: roundBallot(round), atMs };
};

export const complete = (round: number, number: number, atMs = 0): CompleteCommand => {
  return { kind: "complete", carrierIds: [carrier(round, number)], atMs };
};

export interface CommitOptions {
  readonly idempotency?: Idempotency | null;
  readonly results?: readonly OperationResult[];
  readonly atMs?: number;
}

export function commit(
  round: number,
  number: number,
  { idempotency = null, results = [], atMs = 0 }: CommitOptions = {},
): CommitCommand {
  return {
    kind: "commit",
    carrierId: carrier(round, number),
    ballot: roundBallot(round),
    branches: ["s1", "s2"].map((shard) => ({
      shard: shard as ShardId,
      gid: `gid-${round}-${number}-${shard}` as never,
      xid: `${100 * round + number}` as Xid,
    })),
    members: [{ transactionId: transaction(round, number), idempotency, results }],
    atMs,
  };
}
