/**
 * The branches that this incarnation holds in memory, and the ends of those that it held lately.
 */
import type { OperationResult } from "../../shared/model/api.ts";
import type { Ballot, CarrierId, GlobalId, Xid } from "../../shared/model/ids.ts";
import type { Clock } from "../../shared/model/ports.ts";
import type { StatementReply, Vote } from "../../shared/model/protocol.ts";
import type { ShardSession } from "../shard/shard.ts";
import { type BranchEvent, type BranchState, foundBranch, step } from "./branch.ts";
import type { Incidents } from "./incidents.ts";

export interface LiveBranch {
  readonly gid: GlobalId;
  readonly carrierId: CarrierId;
  readonly ballot: Ballot;
  /** The connection over which it was begun; null for one that was found on the shard. */
  readonly linkId: string | null;
  state: BranchState;
  session: ShardSession | undefined;
  /** Of each member, until the vote is given. */
  results: OperationResult[][];
  vote: Promise<Vote> | undefined;
  /** The last step of an interactive branch that was asked for; undefined for every other. */
  lastStep: BranchStep | undefined;
  /** Resolves when an interactive branch has left without a vote. */
  leaving: Promise<void> | undefined;
  /** What is being done about its end. */
  settling: Promise<void> | undefined;
  /** Why the last attempt at its end failed. */
  trouble: string;
  /** When somebody is to be asked about it, or its end attempted again. */
  dueAtMs: number;
  attempts: number;
}

export interface BranchStep {
  readonly seq: number;
  readonly reply: Promise<StatementReply>;
}

export type EndState = BranchState & { readonly kind: "ended" | "contradicted" };

interface PastBranch {
  readonly state: EndState;
  readonly endedAtMs: number;
}

export interface BranchCounts {
  prepared: number;
  readOnly: number;
  committed: number;
  aborted: number;
}

/** How many ends are remembered: repeated requests are answered from here instead of by the shard. */
const MAX_PAST = 4_096;

export class BranchRegistry {
  readonly live = new Map<GlobalId, LiveBranch>();
  readonly counts: BranchCounts = { prepared: 0, readOnly: 0, committed: 0, aborted: 0 };
  readonly #past = new Map<GlobalId, PastBranch>();
  readonly #clock: Clock;
  readonly #incidents: Incidents;
  readonly #inquiryAfterMs: number;

  constructor(clock: Clock, incidents: Incidents, inquiryAfterMs: number) {
    this.#clock = clock;
    this.#incidents = incidents;
    this.#inquiryAfterMs = inquiryAfterMs;
  }

  add(
    gid: GlobalId,
    carrierId: CarrierId,
    ballot: Ballot,
    linkId: string | null,
    state: BranchState,
  ): LiveBranch {
    const branch: LiveBranch = {
      gid,
      carrierId,
      ballot,
      linkId,
      state,
      session: undefined,
      results: [],
      vote: undefined,
      lastStep: undefined,
      leaving: undefined,
      settling: undefined,
      trouble: "",
      dueAtMs: 0,
      attempts: 0,
    };
    this.live.set(gid, branch);
    return branch;
  }

  /** In doubt from now on, and due at once; one that is known already stays as it is. */
  adopt(gid: GlobalId, carrierId: CarrierId, ballot: Ballot, xid: Xid): LiveBranch {
    return this.live.get(gid) ?? this.add(gid, carrierId, ballot, null, foundBranch(xid));
  }

  advance(branch: LiveBranch, event: BranchEvent): void {
    const before = branch.state.kind;
    const state = step(branch.state, event);
    branch.state = state;
    if (state.kind === before) return;
    branch.attempts = 0;
    branch.dueAtMs = this.#clock.monotonicMs();
    if (state.kind === "prepared") {
      this.counts.prepared += 1;
      branch.dueAtMs += this.#inquiryAfterMs;
    } else if (state.kind === "ended") {
      this.counts[state.outcome] += 1;
      this.#end(branch, state);
    } else if (state.kind === "contradicted") {
      this.#incidents.raise(branch.gid, state.sentence);
      this.#end(branch, state);
    }
  }

  #end(branch: LiveBranch, state: EndState): void {
    this.live.delete(branch.gid);
    this.#past.set(branch.gid, { state, endedAtMs: this.#clock.monotonicMs() });
    if (this.#past.size <= MAX_PAST) return;
    for (const oldest of this.#past.keys()) {
      this.#past.delete(oldest);
      return;
    }
  }

  past(gid: GlobalId): EndState | undefined {
    return this.#past.get(gid)?.state;
  }

  /** True when the branch ended so lately that a list made since that moment may still show it. */
  endedSince(gid: GlobalId, sinceMs: number): boolean {
    const past = this.#past.get(gid);
    return past !== undefined && past.endedAtMs >= sinceMs;
  }

  /** How the branch ended, for one that is no longer live. */
  endOf(branch: LiveBranch): EndState | undefined {
    const { state } = branch;
    return state.kind === "ended" || state.kind === "contradicted" ? state : undefined;
  }
}
