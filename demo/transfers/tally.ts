/**
 * Counts what becomes of the transfers, and how long the clients wait: for the whole run, and for the present
 * interval of the progress line. Latencies are those of committed transfers, retries included.
 */
import { createHistogram, type RecordableHistogram } from "node:perf_hooks";
import type { Transfer, TransferOutcome } from "./transfer.ts";

export interface Latency {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export interface Pause {
  readonly ms: number;
  /** When it began, in seconds since the start of the run. */
  readonly atSeconds: number;
}

export interface SentTransfer {
  readonly transfer: Transfer;
  readonly outcome: TransferOutcome;
}

export class Tally {
  readonly sent = new Map<string, SentTransfer>();
  committed = 0;
  aborted = 0;
  unresolved = 0;
  /** Answers `unknown` and lost connections; each was asked again. */
  unknown = 0;
  longestPause: Pause = { ms: 0, atSeconds: 0 };
  readonly #startedAtMs: number;
  #lastCommitAtMs: number;
  readonly #all = createHistogram();
  readonly #interval = createHistogram();

  constructor(nowMs: number) {
    this.#startedAtMs = nowMs;
    this.#lastCommitAtMs = nowMs;
  }

  record(transfer: Transfer, outcome: TransferOutcome, sentAtMs: number, nowMs: number): void {
    this.sent.set(transfer.id, { transfer, outcome });
    this[outcome.kind] += 1;
    if (outcome.kind !== "committed") return;
    const microseconds = Math.max(1, Math.round((nowMs - sentAtMs) * 1_000));
    this.#all.record(microseconds);
    this.#interval.record(microseconds);
    if (this.#all.count > 1) this.notePause(nowMs);
    this.#lastCommitAtMs = nowMs;
  }

  /**
   * Notes the time since the last commit; also called at the end of the run, when no commit ends the pause. Before
   * the first commit nothing has paused yet, unless the run ends without any.
   */
  notePause(nowMs: number): void {
    const ms = nowMs - this.#lastCommitAtMs;
    if (ms <= this.longestPause.ms) return;
    this.longestPause = { ms, atSeconds: (this.#lastCommitAtMs - this.#startedAtMs) / 1_000 };
  }

  abortedByCode(): Readonly<Record<string, number>> {
    const counts: Record<string, number> = {};
    for (const { outcome } of this.sent.values()) {
      if (outcome.kind === "aborted") counts[outcome.code] = (counts[outcome.code] ?? 0) + 1;
    }
    return counts;
  }

  latency(): Latency | undefined {
    return latencyOf(this.#all);
  }

  /** Since the last call. */
  takeInterval(): { readonly commits: number; readonly latency: Latency | undefined } {
    const taken = { commits: this.#interval.count, latency: latencyOf(this.#interval) };
    this.#interval.reset();
    return taken;
  }
}

function latencyOf(histogram: RecordableHistogram): Latency | undefined {
  if (histogram.count === 0) return undefined;
  return {
    p50Ms: histogram.percentile(50) / 1_000,
    p99Ms: histogram.percentile(99) / 1_000,
    maxMs: histogram.max / 1_000,
  };
}
