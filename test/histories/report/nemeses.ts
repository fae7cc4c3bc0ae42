/** What each kind of fault did to clients and to branches. */
import { summarizeInDoubt, type InDoubtSummary } from "../audit/in-doubt.ts";
import type { Figures, Pause } from "./figures.ts";
import type { Fault } from "./input.ts";

export interface NemesisFigures {
  readonly kind: string;
  readonly count: number;
  /** Without a commit, of all that touch a fault of this kind. */
  readonly longestPauseMs: number;
  /** Of branches that were in doubt at some moment of such a fault. */
  readonly inDoubt: InDoubtSummary;
}

export function nemesesOf(
  faults: readonly Fault[],
  { pauses, spans, endMs }: Pick<Figures, "pauses" | "spans" | "endMs">,
): readonly NemesisFigures[] {
  const byKind = new Map<string, Fault[]>();
  for (const fault of faults) byKind.set(fault.kind, [...(byKind.get(fault.kind) ?? []), fault]);
  return [...byKind].map(([kind, ofKind]) => {
    const touched = spans.filter(({ fromMs, untilMs }) =>
      ofKind.some((it) => (untilMs ?? endMs) >= it.fromMs && fromMs <= (it.untilMs ?? endMs)),
    );
    const longestPauseMs = Math.max(
      0,
      ...ofKind.map((it) => longestPause(pauses, it.fromMs, it.untilMs ?? endMs).ms),
    );
    return { kind, count: ofKind.length, longestPauseMs, inDoubt: summarizeInDoubt(touched) };
  });
}

/** Of those that touch the time between; they do not overlap each other, and come in order. */
export function longestPause(pauses: readonly Pause[], fromMs: number, untilMs: number): Pause {
  let longest: Pause = { fromMs, ms: 0 };
  for (let at = firstEndingAfter(pauses, fromMs); at < pauses.length; at += 1) {
    const pause = pauses[at];
    if (pause === undefined || pause.fromMs > untilMs) break;
    if (pause.ms > longest.ms) longest = pause;
  }
  return longest;
}

function firstEndingAfter(pauses: readonly Pause[], atMs: number): number {
  let low = 0;
  let high = pauses.length;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const pause = pauses[middle];
    if (pause !== undefined && pause.fromMs + pause.ms < atMs) low = middle + 1;
    else high = middle;
  }
  return low;
}
