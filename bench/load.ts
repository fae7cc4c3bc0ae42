/** A closed loop: every client has one transaction at a time and begins the next when the last has ended. */

/** One client of one system. */
export interface Client {
  /** Runs one transaction. Rejects when its outcome cannot be found out, or when the system calls it wrong. */
  transact(): Promise<"committed" | "aborted">;
}

export interface Load {
  readonly committed: number;
  readonly aborted: number;
  readonly elapsedMs: number;
  /** Of the committed ones, ascending. */
  readonly latenciesMs: Float64Array;
}

/** Begins no transaction after `durationMs`, and resolves when all have ended. */
export async function runLoad(clients: readonly Client[], durationMs: number): Promise<Load> {
  const startedMs = performance.now();
  const latencies: number[] = [];
  let aborted = 0;
  await Promise.all(
    clients.map(async (client) => {
      for (let fromMs = startedMs; fromMs - startedMs < durationMs;) {
        const outcome = await client.transact();
        const nowMs = performance.now();
        if (outcome === "committed") latencies.push(nowMs - fromMs);
        else aborted += 1;
        fromMs = nowMs;
      }
    }),
  );
  return {
    committed: latencies.length,
    aborted,
    elapsedMs: performance.now() - startedMs,
    latenciesMs: Float64Array.from(latencies).sort(),
  };
}

/** The value below which `share` of the ascending values lie; NaN when there are none. */
export function quantile(ascending: Float64Array, share: number): number {
  return ascending[Math.min(ascending.length - 1, Math.floor(ascending.length * share))] ?? NaN;
}

export function median(values: readonly number[]): number {
  const ascending = Float64Array.from(values).sort();
  const middle = ascending.length / 2;
  const below = ascending[Math.ceil(middle) - 1] ?? NaN;
  const above = ascending[Math.floor(middle)] ?? NaN;
  return (below + above) / 2;
}
