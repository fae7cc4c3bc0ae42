/**
 * The transactions of one leader, on top of an exploration of the log: its carriers run the production state machine, every
 * node feeds the production ledger, and what nodes tell is what the production outcomes say.
 *
 * Node 1 has begun the carriers under its first ballot, each with a branch on two shards. Some have every vote in; for the
 * others branches prepare or refuse, and votes and the deadline come, at any time or never. A commit is proposed at any time
 * after the last vote. After each step every
 * node is asked about every carrier by a participant in doubt and by a recovering leader (they get the same answer). An answer
 * and a decision may be late; so all that was ever said of a carrier is kept, by whomever: it must not be both.
 */
import type { CarrierId, GlobalId, NodeId, ShardId, Slot, Xid } from "../../shared/model/ids.ts";
import { ballot, carrierId, nextSlot, nodeId, transactionId } from "../../shared/model/ids.ts";
import { ownerOf, roundOf, ZERO_SLOT } from "../../shared/model/ids.ts";
import type { Value } from "../../coordinator/paxos/message.ts";
import type { PaxosState } from "../../coordinator/paxos/state.ts";
import type { Command } from "../../coordinator/transactions/command.ts";
import { decodeBatch, encodeBatch, encodeCommand } from "../../coordinator/transactions/command.ts";
import { Leadership } from "../../coordinator/transactions/leadership.ts";
import type { Applied } from "../../coordinator/transactions/ledger/ledger.ts";
import { DEFAULT_LEDGER_OPTIONS, Ledger } from "../../coordinator/transactions/ledger/ledger.ts";
import { Outcomes } from "../../coordinator/transactions/outcomes.ts";
import {
  beginCarrier,
  stepCarrier,
  type CarrierEvent,
  type CarrierState,
} from "../../coordinator/transactions/transaction.ts";
import { Interner } from "../paxos/explorer/interner.ts";
import type { Application } from "../paxos/explorer/scope.ts";

const FIRST_BALLOT = ballot(1, nodeId(1));
const SHARDS = ["s1", "s2"] as unknown as readonly ShardId[];
const XID = "7" as Xid;
const ABORTED = 1;
const COMMITTED = 2;

type Said = 0 | 1 | 2 | 3;

interface Carrier {
  /** In the memory of its leader. */
  readonly state: CarrierState;
  /** Shards with a prepared branch, as bits. */
  readonly prepared: number;
  readonly isProposed: boolean;
  readonly said: Said;
}

type Carriers = readonly Carrier[];

/** What a node can be heard to say: with its carriers in memory, and with none. By carrier. */
interface Sayings {
  readonly applied: readonly (readonly Applied[])[];
  readonly holding: readonly number[];
  readonly notHolding: readonly number[];
}

const MOVES = ["prepare", "vote", "refuse", "deadline"] as const;
const MOVE_SPAN = MOVES.length * SHARDS.length;

export type TransactionSight =
  | "a commit is void"
  | "a commit surfaces under a later leader and stands"
  | "an abort is presumed of what no ledger holds"
  | "an abort is presumed of a commit that was proposed"
  | "an abort is presumed of a carrier whose branches are all prepared"
  | "a leader knows by its own memory that a carrier is aborted"
  | "a branch refuses"
  | "the deadline passes while the decision is open";

export interface TransactionsScope {
  readonly voidsCommitsBelowFloor: boolean;
  readonly commits: number;
  /** Carriers that the exploration begins with undecided branches; the others begin with every vote in. */
  readonly voting: number;
}

export class ExploredTransactions implements Application {
  readonly start: number;
  readonly sights = new Set<TransactionSight>();
  readonly #scope: TransactionsScope;
  readonly #ids: readonly CarrierId[];
  readonly #states = new Interner<Carriers>();
  readonly #sayings = new WeakMap<PaxosState, Sayings>();

  constructor(scope: TransactionsScope) {
    this.#scope = scope;
    this.#ids = Array.from({ length: scope.commits }, (_, at) => carrierId(FIRST_BALLOT, at + 1));
    const begun = this.#ids.map((_, index): Carrier => {
      const plan = SHARDS.map((shard) => ({ shard, gid: gidOf(index, shard) }));
      return { state: beginCarrier(plan), prepared: 0, isProposed: false, said: 0 };
    });
    const voted = begun.map((carrier, index) =>
      index < scope.commits - scope.voting ? this.#withAllVotes(carrier) : carrier,
    );
    this.start = this.#idOf(voted);
  }

  #idOf(carriers: Carriers): number {
    return this.#states.idOf(carriers.map(carrierText).join(" | "), () => carriers);
  }

  #withAllVotes(carrier: Carrier): Carrier {
    let after: Carrier = { ...carrier, prepared: (1 << SHARDS.length) - 1 };
    for (const shard of SHARDS) after = this.#handled(after, votedFor(shard));
    return after;
  }

  /** What the carrier's effects tell anybody counts as said. */
  #handled(carrier: Carrier, event: CarrierEvent): Carrier {
    const { state, effects } = stepCarrier(carrier.state, event, { waitFor: "decided" });
    let { said } = carrier;
    for (const { kind } of effects) {
      if (kind === "commitBranches" || kind === "answerCommitted") said = withSaid(said, COMMITTED);
      if (kind === "abortBranches" || kind === "answerAborted") said = withSaid(said, ABORTED);
    }
    return { ...carrier, state, said };
  }

  moves(id: number): readonly number[] {
    const { commits, voting } = this.#scope;
    return this.#states.get(id).flatMap(({ state, prepared }, index) => {
      if (index < commits - voting) return [];
      const isWaiting = state.kind === "voting" || (state.kind === "deciding" && !state.answered);
      const moves: number[] = isWaiting ? [moveOf("deadline", index, 0)] : [];
      SHARDS.forEach((shard, at) => {
        const isPrepared = ((prepared >> at) & 1) === 1;
        const isAwaited = state.kind === "voting" && state.votes.get(shard)?.kind === "awaited";
        if (!isPrepared) moves.push(moveOf("prepare", index, at));
        if (isAwaited) moves.push(moveOf(isPrepared ? "vote" : "refuse", index, at));
      });
      return moves;
    });
  }

  move(id: number, move: number, nodes: readonly PaxosState[]): number {
    const { kind, index, at } = readMove(move);
    const carriers = this.#states.get(id);
    const carrier = carriers[index];
    const leader = nodes[0];
    if (carrier === undefined || leader === undefined) throw new Error("no such move");
    const after = carriers.with(index, this.#moved(carrier, kind, at));
    return this.#idOf(this.#withWordOf(leader, after));
  }

  #moved(carrier: Carrier, kind: (typeof MOVES)[number], at: number): Carrier {
    const shard = SHARDS[at] ?? ("" as ShardId);
    switch (kind) {
      case "prepare":
        return { ...carrier, prepared: carrier.prepared | (1 << at) };
      case "vote":
        return this.#handled(carrier, votedFor(shard));
      case "refuse": {
        this.sights.add("a branch refuses");
        const refusal = { kind: "conflict", sentence: "explored" } as never;
        return this.#handled(carrier, { kind: "voted", shard, vote: { kind: "no", refusal } });
      }
      case "deadline":
        if (carrier.state.kind === "deciding") {
          this.sights.add("the deadline passes while the decision is open");
        }
        return this.#handled(carrier, { kind: "deadline" });
    }
  }

  /** The barrier first; then, under the first ballot and once the barrier is applied, what the carriers have decided. */
  client(id: number, { role }: PaxosState): Value | undefined {
    if (role.kind !== "leader") return undefined;
    if (role.nextSlot === nextSlot(role.recoverUpTo)) {
      return encoded({ kind: "barrier", ballot: role.ballot, atMs: 0 });
    }
    const index = this.#dueUnder(id, role.ballot);
    return index < 0 ? undefined : encoded(this.#commitOf(index));
  }

  #dueUnder(id: number, under: number): number {
    if (under !== FIRST_BALLOT) return -1;
    return this.#states
      .get(id)
      .findIndex(({ state, isProposed }) => state.kind === "deciding" && !isProposed);
  }

  #commitOf(index: number): Command {
    const branches = SHARDS.map((shard) => ({ shard, gid: gidOf(index, shard), xid: XID }));
    const member = transactionId(FIRST_BALLOT, 1000 + index, "explored");
    const members = [{ transactionId: member, idempotency: null, results: null }];
    const id = this.#ids[index] ?? carrierId(FIRST_BALLOT, index + 1);
    return { kind: "commit", carrierId: id, ballot: FIRST_BALLOT, branches, members, atMs: 0 };
  }

  stepped(id: number, before: PaxosState, after: PaxosState): number {
    const hasProposed = this.#hasProposedCommit(before, after);
    const isSame = before.chosenUpTo === after.chosenUpTo && leads(before) === leads(after);
    if (isSame && !hasProposed) return id;
    let carriers = this.#states.get(id);
    if (hasProposed) {
      const due = this.#dueUnder(id, FIRST_BALLOT);
      carriers = carriers.map((it, index) => (index === due ? { ...it, isProposed: true } : it));
    }
    if (Number(after.config.self) === 1) carriers = this.#leaderHears(carriers, before, after);
    this.#look(before, after);
    return this.#idOf(this.#withWordOf(after, carriers));
  }

  #hasProposedCommit({ role: before }: PaxosState, { role: after }: PaxosState): boolean {
    if (before.kind !== "leader" || after.kind !== "leader") return false;
    if (after.ballot !== FIRST_BALLOT || after.nextSlot === before.nextSlot) return false;
    return before.nextSlot > before.recoverUpTo + 1;
  }

  #leaderHears(carriers: Carriers, before: PaxosState, after: PaxosState): Carriers {
    let heard = carriers;
    const all = (event: CarrierEvent): void => {
      heard = heard.map((carrier) => this.#handled(carrier, event));
    };
    if (leads(before) === FIRST_BALLOT && leads(after) !== FIRST_BALLOT) {
      all({ kind: "leadershipLost" });
    }
    for (const applied of this.#newlyApplied(before, after)) {
      switch (applied.kind) {
        case "barrier":
          if (applied.floor > FIRST_BALLOT) all({ kind: "applied", outcome: "void" });
          break;
        case "committed":
        case "void": {
          const outcome = applied.kind;
          const id = applied.kind === "void" ? applied.carrierId : applied.carrier.carrierId;
          heard = heard.map((carrier, index) =>
            this.#ids[index] === id
              ? this.#handled(carrier, { kind: "applied", outcome })
              : carrier,
          );
          break;
        }
        case "completed":
          break;
      }
    }
    return heard;
  }

  #newlyApplied(before: PaxosState, after: PaxosState): readonly Applied[] {
    return this.#sayingsOf(after).applied.slice(before.chosenUpTo, after.chosenUpTo).flat();
  }

  #withWordOf(node: PaxosState, carriers: Carriers): Carriers {
    const { holding, notHolding } = this.#sayingsOf(node);
    return carriers.map((carrier, index) => {
      const isHeld = carrier.state.kind !== "ended";
      const word = (isHeld ? holding : notHolding)[index] ?? 0;
      if (word === ABORTED) this.#notePresumption(node, carrier, holding[index] === 0);
      return word === 0 ? carrier : { ...carrier, said: withSaid(carrier.said, word) };
    });
  }

  #notePresumption(node: PaxosState, carrier: Carrier, isByMemory: boolean): void {
    if (isByMemory) {
      this.sights.add("a leader knows by its own memory that a carrier is aborted");
      return;
    }
    if (node.chosenUpTo === ZERO_SLOT || (carrier.said & ABORTED) !== 0) return;
    this.sights.add("an abort is presumed of what no ledger holds");
    if (carrier.isProposed) this.sights.add("an abort is presumed of a commit that was proposed");
    else if (carrier.prepared === (1 << SHARDS.length) - 1) {
      this.sights.add("an abort is presumed of a carrier whose branches are all prepared");
    }
  }

  #look(before: PaxosState, after: PaxosState): void {
    for (const applied of this.#newlyApplied(before, after)) {
      if (applied.kind === "void") this.sights.add("a commit is void");
      if (applied.kind === "committed" && leads(after) > FIRST_BALLOT) {
        this.sights.add("a commit surfaces under a later leader and stands");
      }
    }
  }

  #sayingsOf(state: PaxosState): Sayings {
    const known = this.#sayings.get(state);
    if (known !== undefined) return known;
    const { voidsCommitsBelowFloor } = this.#scope;
    const ledger = new Ledger({ ...DEFAULT_LEDGER_OPTIONS, voidsCommitsBelowFloor });
    const leadership = new Leadership();
    if (state.role.kind === "leader") leadership.elected(state.role.ballot);
    const applied: Applied[][] = [];
    for (let slot = 1 as Slot; slot <= state.chosenUpTo; slot = nextSlot(slot)) {
      const commands = decodeBatch(state.log.get(slot)?.value ?? new Uint8Array());
      const results = commands.map((command) => ledger.apply(command));
      for (const it of results) {
        if (it.kind === "barrier") leadership.barrierApplied(it.ballot, it.floor);
      }
      applied.push(results);
    }
    const said = (holds: boolean): readonly number[] =>
      this.#answers(new Outcomes(ledger, leadership, () => holds));
    const sayings = { applied, holding: said(true), notHolding: said(false) };
    this.#sayings.set(state, sayings);
    return sayings;
  }

  #answers(outcomes: Outcomes): readonly number[] {
    const [shard] = SHARDS;
    if (shard === undefined) throw new Error("there is a shard");
    const branches = this.#ids.map((id) => ({ carrierId: id, xid: XID }));
    return outcomes.answer({ shard, branches }).outcomes.map(({ kind }) => {
      if (kind === "aborted") return ABORTED;
      return kind === "committed" ? COMMITTED : 0;
    });
  }

  conflict(id: number): string | undefined {
    const index = this.#states.get(id).findIndex(({ said }) => said === (ABORTED | COMMITTED));
    return index < 0 ? undefined : `${this.#ids[index] ?? ""} was called aborted and committed`;
  }

  describeMove(move: number): string {
    const { kind, index, at } = readMove(move);
    const id = carrierId(FIRST_BALLOT, index + 1);
    const branch = `the branch of ${id} on ${SHARDS[at] ?? ""}`;
    switch (kind) {
      case "prepare":
        return `${branch} is prepared`;
      case "vote":
        return `node 1 hears that ${branch} is prepared`;
      case "refuse":
        return `node 1 hears that ${branch} refuses`;
      case "deadline":
        return `the deadline of ${id} passes`;
    }
  }

  describeChange(before: number, after: number, node: NodeId): readonly string[] {
    const [was, is] = [this.#states.get(before), this.#states.get(after)];
    return this.#ids.flatMap((id, index) => {
      const fresh = (is[index]?.said ?? 0) & ~(was[index]?.said ?? 0);
      const lines: string[] = [];
      const who = node < 1 ? "node 1" : `node ${node}`;
      if ((fresh & ABORTED) !== 0) lines.push(`${who} answers: ${id} is aborted`);
      if ((fresh & COMMITTED) !== 0) lines.push(`${who} answers: ${id} is committed`);
      return lines;
    });
  }

  describeValue(value: Value): string {
    return decodeBatch(value).map(commandText).join(", ");
  }
}

function leads({ role }: PaxosState): number {
  return role.kind === "leader" ? role.ballot : 0;
}

function withSaid(said: Said, more: number): Said {
  return (said | more) as Said;
}

function gidOf(index: number, shard: ShardId): GlobalId {
  return `gid-${index + 1}-${shard}` as GlobalId;
}

function votedFor(shard: ShardId): CarrierEvent {
  return { kind: "voted", shard, vote: { kind: "prepared", xid: XID, results: [] } };
}

function moveOf(kind: (typeof MOVES)[number], index: number, at: number): number {
  return index * MOVE_SPAN + at * MOVES.length + MOVES.indexOf(kind);
}

function readMove(move: number): {
  readonly kind: (typeof MOVES)[number];
  readonly index: number;
  readonly at: number;
} {
  const kind = MOVES[move % MOVES.length];
  if (kind === undefined) throw new Error(`${move} is no move`);
  const index = Math.floor(move / MOVE_SPAN);
  return { kind, index, at: Math.floor((move % MOVE_SPAN) / MOVES.length) };
}

function carrierText({ state, prepared, isProposed, said }: Carrier): string {
  const more =
    state.kind === "voting" ? [...state.votes.values()].map(({ kind }) => kind).join() : "";
  const isAnswered = (state.kind === "deciding" || state.kind === "committing") && state.answered;
  return `${state.kind} ${more} ${isAnswered} ${prepared} ${isProposed} ${said}`;
}

function encoded(command: Command): Value {
  return encodeBatch([encodeCommand(command)]);
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
