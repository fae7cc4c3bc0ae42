/**
 * What a slot of the decision log replicates: a batch of commands, as one JSON array in UTF-8. A command is encoded once,
 * by the leader that proposes it, and decoded once by each replica that applies it.
 *
 *   barrier    a new leader's first word: commits of lower ballots that surface later are void
 *   commit     all branches of this carrier are prepared: it shall commit, with all its members
 *   complete   every branch of these carriers has confirmed, with evidence
 *
 * There is no abort: what is not in the ledger below a barrier is aborted (presumed abort).
 */
import type { OperationResult } from "../../shared/model/api.ts";
import { assert } from "../../shared/model/assert.ts";
import type {
  Ballot,
  CarrierId,
  GlobalId,
  ShardId,
  TransactionId,
  Xid,
} from "../../shared/model/ids.ts";
import type { Idempotency } from "../../shared/model/protocol.ts";
import type { Value } from "../paxos/message.ts";

/** A prepared branch, word for word as it was voted for: the gid is never made anew from its parts. */
export interface DecidedBranch {
  readonly shard: ShardId;
  readonly gid: GlobalId;
  readonly xid: Xid;
}

export interface DecidedMember {
  readonly transactionId: TransactionId;
  readonly idempotency: Idempotency | null;
  /** Kept for replays; null where there is no idempotency key to ask with. */
  readonly results: readonly OperationResult[] | null;
}

export interface BarrierCommand {
  readonly kind: "barrier";
  readonly ballot: Ballot;
  readonly atMs: number;
}

export interface CommitCommand {
  readonly kind: "commit";
  readonly carrierId: CarrierId;
  /** The ballot of the leader that began the carrier. */
  readonly ballot: Ballot;
  readonly branches: readonly DecidedBranch[];
  readonly members: readonly DecidedMember[];
  /** The leader's wall clock. Replicas age by it, within bounds (ledger/ledger-time.ts), so that they forget the same. */
  readonly atMs: number;
}

export interface CompleteCommand {
  readonly kind: "complete";
  readonly carrierIds: readonly CarrierId[];
  readonly atMs: number;
}

export type Command = BarrierCommand | CommitCommand | CompleteCommand;

declare const encoded: unique symbol;
export type EncodedCommand = string & { readonly [encoded]: true };

export function encodeCommand(command: Command): EncodedCommand {
  return JSON.stringify(command) as EncodedCommand;
}

export function encodeBatch(commands: readonly EncodedCommand[]): Value {
  return new TextEncoder().encode(`[${commands.join(",")}]`);
}

const KINDS: ReadonlySet<unknown> = new Set<Command["kind"]>(["barrier", "commit", "complete"]);

/** Only the outer shape is checked: the bytes are our own, and the log's checksums guard them. A no-op decodes to nothing. */
export function decodeBatch(value: Value): readonly Command[] {
  if (value.length === 0) return [];
  const commands: unknown = JSON.parse(new TextDecoder().decode(value));
  assert(Array.isArray(commands), "a slot holds a list of commands");
  for (const command of commands as readonly (Partial<Command> | null)[]) {
    assert(KINDS.has(command?.kind), "a slot holds commands of known kinds");
  }
  return commands as readonly Command[];
}
