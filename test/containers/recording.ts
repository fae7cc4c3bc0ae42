/** What a run leaves behind for its judges and its report, as it happens, all on one clock. */
import type { ShardSample } from "../histories/audit/in-doubt.ts";
import type { HistoryEvent } from "../histories/history/event.ts";
import type { LeaderSample } from "../histories/report/input.ts";

export interface RecordedFault {
  readonly kind: string;
  readonly target: string;
  readonly fromMs: number;
  untilMs: number | null;
}

/** An event without its time: that is the moment of its recording. */
export type TimelessEvent = HistoryEvent extends infer Event
  ? Event extends HistoryEvent
    ? Omit<Event, "atMs">
    : never
  : never;

export class Recording {
  readonly events: HistoryEvent[] = [];
  readonly faults: RecordedFault[] = [];
  readonly leaders: LeaderSample[] = [];
  readonly samples: ShardSample[] = [];
  /** What decision logs call a transaction that has no key: by its id, the client's own name for it. */
  readonly names = new Map<string, string>();
  readonly #startedAtMs = performance.now();
  #processes = 0;

  nowMs(): number {
    return performance.now() - this.#startedAtMs;
  }

  newProcess(): number {
    this.#processes += 1;
    return this.#processes;
  }

  tell(event: TimelessEvent): void {
    this.events.push({ ...event, atMs: this.nowMs() });
  }
}
