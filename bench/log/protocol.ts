/** What the benchmark's main program says to its three log processes, and what they answer. */

export interface Ports {
  readonly peer: number;
  readonly echo: number;
}

export interface StartRequest {
  readonly kind: "start";
  readonly nodeId: number;
  readonly directory: string;
  /** Of every process, itself included. */
  readonly ports: readonly (readonly [nodeId: number, Ports])[];
  /** Of first answers and of decisions, on the clock that the commands carry. */
  readonly retentionMs: number;
}

export type Request =
  | StartRequest
  /** The bare costs, in this process: one durable block; one message to another process and back. */
  | { readonly kind: "measureBare"; readonly durationMs: number }
  | { readonly kind: "measureLog"; readonly proposers: number; readonly durationMs: number }
  /** Decides and completes so many transactions, each `stepMs` later than the one before. */
  | {
      readonly kind: "decide";
      readonly transactions: number;
      readonly proposers: number;
      readonly stepMs: number;
    }
  | { readonly kind: "look" }
  | { readonly kind: "stop" };

export interface BareCosts {
  readonly syncMs: number;
  readonly roundTripMs: number;
}

export interface LogCosts {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly slots: number;
  readonly decisions: number;
}

export interface Look {
  readonly serves: boolean;
  readonly appliedUpTo: number;
  readonly committed: number;
  readonly incomplete: number;
  /** First answers in the ledger. */
  readonly answers: number;
  /** Taken since the start. */
  readonly snapshots: number;
  readonly residentBytes: number;
}

export interface Replies {
  readonly start: null;
  readonly measureBare: BareCosts;
  readonly measureLog: LogCosts;
  readonly decide: null;
  readonly look: Look;
  readonly stop: null;
}

export type ToNode = { readonly id: number; readonly request: Request };
export type FromNode =
  | { readonly kind: "listening"; readonly ports: Ports }
  | { readonly kind: "reply"; readonly id: number; readonly reply: Replies[Request["kind"]] }
  | { readonly kind: "failed"; readonly id: number; readonly sentence: string };
