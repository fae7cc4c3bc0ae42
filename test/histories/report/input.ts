/** What a report is made of. All times are milliseconds since the run began, of one clock. */
import type { ShardSample } from "../audit/in-doubt.ts";
import type { HistoryEvent } from "../history/event.ts";

export interface ReportInput {
  readonly title: string;
  /** What identifies the run: backend, seed, build. */
  readonly facts: readonly (readonly [name: string, value: string])[];
  readonly events: readonly HistoryEvent[];
  readonly faults: readonly Fault[];
  /** In the order of time. */
  readonly leaders: readonly LeaderSample[];
  /** Of each shard in the order of time. */
  readonly samples: readonly ShardSample[];
  readonly verdicts: readonly CheckerVerdict[];
}

export interface Fault {
  /** Of the nemesis: `kill leader`. */
  readonly kind: string;
  readonly target: string;
  readonly fromMs: number;
  /** Null: it lasted to the end. */
  readonly untilMs: number | null;
}

export interface LeaderSample {
  readonly atMs: number;
  /** Null: none is known. */
  readonly leader: string | null;
}

export interface CheckerVerdict {
  readonly checker: string;
  readonly holds: boolean;
  /** May have several lines each. */
  readonly findings: readonly string[];
}
