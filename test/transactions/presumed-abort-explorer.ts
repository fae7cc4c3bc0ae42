/**
 * Explores what coordinators may tell a participant that asks, over the production paxos core, ledger, leadership and
 * outcomes: whether one of them can say "aborted" and another, then or later, "committed".
 *
 *   Node 1 leads under ballot 1.1, its barrier is applied everywhere, and it has proposed as many commits as its window
 *   takes. From there on everything can happen. Whoever leads next proposes its barrier. After each step every node is
 *   asked about every transaction, and what was said stays said.
 *
 * Every transaction that is asked about is held by the leader that began it, so that its memory never speaks for abort:
 * what is explored is the floor rule alone.
 */
import type { CarrierId, NodeId, ShardId, Slot, Xid } from "../../shared/model/ids.ts";
import {
  ballot,
  carrierId,
  nodeId,
  ownerOf,
  roundOf,
  transactionId,
} from "../../shared/model/ids.ts";
import type { Value } from "../../coordinator/paxos/message.ts";
import type { PaxosState } from "../../coordinator/paxos/state.ts";
import type { Command } from "../../coordinator/transactions/command.ts";
import { decodeBatch, encodeBatch, encodeCommand } from "../../coordinator/transactions/command.ts";
import { Leadership } from "../../coordinator/transactions/leadership.ts";
import { DEFAULT_LEDGER_OPTIONS, Ledger } from "../../coordinator/transactions/ledger/ledger.ts";
import { Outcomes } from "../../coordinator/transactions/outcomes.ts";
import { explore } from "../paxos/explorer.ts";
import type { Directive, Exploration } from "../paxos/explorer/scope.ts";

const PROPOSE: Directive = { kind: "propose", node: 1 };
const SETTLE: Directive = { kind: "settle" };
const FIRST_BALLOT = ballot(1, nodeId(1));
const SHARD = "s1" as ShardId;
const XID = "7" as Xid;

export interface PresumedAbortScope {
  readonly voidsCommitsBelowFloor: boolean;
  /** Commits that the first leader proposes. */
  readonly commits: number;
  readonly ballots: number;
  readonly slots: number;
  readonly windowSlots: number;
}

export function explorePresumedAbort(scope: PresumedAbortScope): Exploration {
  const carriers = Array.from({ length: scope.commits }, (_, index) =>
    carrierId(FIRST_BALLOT, index + 1),
  );
  return explore({
    nodes: 3,
    slots: scope.slots,
    ballots: scope.ballots,
    windowSlots: scope.windowSlots,
    prologue: prologueOf(scope),
    client: (state) => nextCommand(state, carriers),
    observer: {
      look: (state) => whatItSays(state, scope, carriers),
      describe: (node, bits) => sayings(node, bits, carriers),
      conflict: (bits) => contradiction(bits, carriers),
    },
    describeValue: (value) => decodeBatch(value).map(commandText).join(", "),
  });
}

/** Up to where nothing has gone wrong yet; the commits are proposed, and nobody has received one. */
function prologueOf({ commits, windowSlots }: PresumedAbortScope): readonly Directive[] {
  const proposals = Array.from({ length: Math.min(commits, windowSlots) }, () => PROPOSE);
  const elected: Directive = { kind: "campaign", node: 1, round: 1 };
  return [elected, SETTLE, PROPOSE, SETTLE, ...proposals];
}

/** The barrier first; then, once it is applied and only under the first ballot, commits. */
function nextCommand(state: PaxosState, carriers: readonly CarrierId[]): Value | undefined {
  const { role } = state;
  if (role.kind !== "leader") return undefined;
  const proposed = role.nextSlot - role.recoverUpTo - 1;
  if (proposed === 0) return encoded({ kind: "barrier", ballot: role.ballot, atMs: 0 });
  const carrier = carriers[proposed - 1];
  if (role.ballot !== FIRST_BALLOT || carrier === undefined) return undefined;
  return encoded(commitOf(carrier, proposed));
}

function encoded(command: Command): Value {
  return encodeBatch([encodeCommand(command)]);
}

function commitOf(id: CarrierId, number: number): Command {
  const member = transactionId(FIRST_BALLOT, 1000 + number, "explored");
  return {
    kind: "commit",
    carrierId: id,
    ballot: FIRST_BALLOT,
    branches: [{ shard: SHARD, gid: `gid-${number}` as never, xid: XID }],
    members: [{ transactionId: member, idempotency: null, results: null }],
    atMs: 0,
  };
}

/** Two bits per carrier: someone was told "aborted", someone was told "committed". */
function whatItSays(
  state: PaxosState,
  { voidsCommitsBelowFloor }: PresumedAbortScope,
  carriers: readonly CarrierId[],
): number {
  const ledger = new Ledger({ ...DEFAULT_LEDGER_OPTIONS, voidsCommitsBelowFloor });
  const leadership = new Leadership();
  if (state.role.kind === "leader") leadership.elected(state.role.ballot);
  for (let slot = 1 as Slot; slot <= state.chosenUpTo; slot = (slot + 1) as Slot) {
    for (const command of decodeBatch(state.log.get(slot)?.value ?? new Uint8Array())) {
      const applied = ledger.apply(command);
      if (applied.kind === "barrier") leadership.barrierApplied(applied.ballot, applied.floor);
    }
  }
  const outcomes = new Outcomes(ledger, leadership, () => true);
  const branches = carriers.map((id) => ({ carrierId: id, xid: XID }));
  const { outcomes: said } = outcomes.answer({ shard: SHARD, branches });
  return said.reduce((bits, { kind }, index) => {
    if (kind === "aborted") return bits | (1 << (2 * index));
    return kind === "committed" ? bits | (2 << (2 * index)) : bits;
  }, 0);
}

function sayings(node: NodeId, bits: number, carriers: readonly CarrierId[]): readonly string[] {
  return carriers.flatMap((id, index) => {
    const lines: string[] = [];
    if (((bits >> (2 * index)) & 1) === 1) lines.push(`node ${node} answers: ${id} is aborted`);
    if (((bits >> (2 * index)) & 2) === 2) lines.push(`node ${node} answers: ${id} is committed`);
    return lines;
  });
}

function contradiction(bits: number, carriers: readonly CarrierId[]): string | undefined {
  const index = carriers.findIndex((_, at) => ((bits >> (2 * at)) & 3) === 3);
  return index < 0 ? undefined : `${carriers[index] ?? ""} was called aborted and committed`;
}

function commandText(command: Command): string {
  switch (command.kind) {
    case "barrier":
      return `barrier of ballot ${roundOf(command.ballot)}.${ownerOf(command.ballot) ?? 0}`;
    case "commit":
      return `commit of ${command.carrierId}`;
    case "complete":
      return `complete ${command.carrierIds.join(" ")}`;
  }
}
