/** An interactive transaction as its leader holds it in memory (interactive-transactions.ts). */
import type { TransactionResponse } from "../../../shared/model/api.ts";
import type { Ballot, CarrierId, TransactionId } from "../../../shared/model/ids.ts";
import type { BeginRequest, StepResponse } from "../../../shared/model/interactive.ts";
import type { Cancel } from "../../../shared/model/ports.ts";
import type { ReleasePlaces } from "../admission.ts";
import type { Branches } from "./branches.ts";
import type { Deferred } from "./deferred.ts";
import type { AskedStep, BeforeCommit, InteractiveState } from "./machine.ts";

export interface NewInteractive {
  readonly ballot: Ballot;
  readonly carrierId: CarrierId;
  readonly transactionId: TransactionId;
  readonly request: BeginRequest;
  /** Who began it; empty where all are everybody's. */
  readonly client: string;
  /** On all shards of its snapshot; undefined where they are taken one by one. */
  readonly places?: ReleasePlaces | undefined;
}

export interface HeldInteractive extends NewInteractive {
  readonly branches: Branches;
  state: InteractiveState;
  /** When the last step was sent to a shard, by the monotonic clock. */
  sentAtMs: number;
  /** Of the last step that was begun; before the first, of the snapshot. */
  answer: Deferred<StepResponse>;
  response: StepResponse;
  cancelIdle: Cancel;
  cancelTooLong: Cancel;
  /** The client's answer, once the commit has been handed over. */
  committing: Promise<TransactionResponse> | undefined;
  /** Resolves when the outcome of a commit that was handed over is final. */
  final: Promise<void>;
  /** Resolves when every branch has been told to roll back, and has. */
  rolledBack: Promise<void>;
}

export function isLast({ state }: HeldInteractive, asked: AskedStep): boolean {
  return state.kind === "open" && state.last === asked;
}

export function isBeforeCommit(state: InteractiveState): state is BeforeCommit {
  return state.kind !== "handedOver" && state.kind !== "ended";
}
