/** What many seeds came to, added up and told in tables. */
import type { SimulationResult } from "./simulation.ts";

/** What a run adds to the totals, as it can be sent from one process to another. */
export interface SeedReport {
  readonly seed: number;
  readonly virtualMs: number;
  readonly events: number;
  readonly calls: number;
  readonly counts: readonly (readonly [what: string, times: number])[];
  /** What broke, told to people; undefined where every promise was kept. */
  readonly story: string | undefined;
}

export function reportOf(result: SimulationResult, story: string | undefined): SeedReport {
  const { seed, virtualMs, events, calls, counts } = result;
  return { seed, virtualMs, events, calls, counts: [...counts], story };
}

const FAULT = "fault: ";
const MS_IN_AN_HOUR = 3_600_000;
const COLUMN = 44;

export class Totals {
  readonly #startedMs = performance.now();
  readonly #counts = new Map<string, number>();
  readonly failed: number[] = [];
  #seeds = 0;
  #virtualMs = 0;
  #events = 0;
  #calls = 0;

  get seeds(): number {
    return this.#seeds;
  }

  get seen(): ReadonlyMap<string, number> {
    return this.#counts;
  }

  get realMs(): number {
    return performance.now() - this.#startedMs;
  }

  add({ seed, virtualMs, events, calls, counts, story }: SeedReport): void {
    this.#seeds += 1;
    this.#virtualMs += virtualMs;
    this.#events += events;
    this.#calls += calls;
    if (story !== undefined) this.failed.push(seed);
    for (const [what, times] of counts) {
      this.#counts.set(what, (this.#counts.get(what) ?? 0) + times);
    }
  }

  /** In one line. */
  line(): string {
    const hours = (this.#virtualMs / MS_IN_AN_HOUR).toFixed(2);
    const seconds = (this.realMs / 1000).toFixed(0);
    const ratio = Math.round(this.#virtualMs / this.realMs);
    return (
      `${this.#seeds} seeds, ${hours} simulated hours in ${seconds} s (${ratio} : 1), ` +
      `${this.#of("decided committed") + this.#of("decided void")} transactions decided, ` +
      `${this.#of("leading")} leaders, ${this.failed.length} failed`
    );
  }

  /** The whole story. */
  tables(): string {
    const { faults, others } = this.#sorted();
    return [
      table("in all", [
        ["seeds", this.#seeds],
        ["events", this.#events],
        ["calls of clients", this.#calls],
        ["transactions decided", this.#of("decided committed") + this.#of("decided void")],
        ["leader changes", this.#of("leading")],
        ["snapshots taken", this.#of("snapshot taken")],
        ["snapshots installed from a peer", this.#of("caught up by snapshot")],
        ["faults injected", faults.reduce((sum, [, times]) => sum + times, 0)],
      ]),
      table("faults injected, by kind", faults),
      table("what was seen", others),
      this.line(),
      ...(this.failed.length > 0 ? [`FAILED SEEDS: ${this.failed.join(" ")}`] : []),
    ].join("\n\n");
  }

  #of(what: string): number {
    return this.#counts.get(what) ?? 0;
  }

  #sorted(): { readonly faults: readonly Row[]; readonly others: readonly Row[] } {
    const rows = [...this.#counts].sort(([one], [other]) => (one < other ? -1 : 1));
    const isFault = ([what]: Row): boolean => what.startsWith(FAULT);
    return {
      faults: rows.filter(isFault).map(([what, times]): Row => [what.slice(FAULT.length), times]),
      others: rows.filter((row) => !isFault(row)),
    };
  }
}

type Row = readonly [what: string, times: number];

function table(title: string, rows: readonly Row[]): string {
  const lines = rows.map(
    ([what, times]) => `  ${what.padEnd(COLUMN)} ${String(times).padStart(10)}`,
  );
  return [title, ...lines].join("\n");
}
