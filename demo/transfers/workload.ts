/**
 * The clients: each sends one transfer after the other until the time is up, and goes on with its last one until that has
 * an outcome. They begin at different coordinators, and learn from the answers who leads.
 */
import type { Tally } from "./tally.ts";
import { type Access, openTransferClient } from "./transfer-client.ts";
import { type AccountsByShard, randomTransfer } from "./transfer.ts";

export interface WorkloadOptions {
  readonly urls: readonly string[];
  readonly access?: Access | undefined;
  readonly clients: number;
  readonly durationMs: number;
  /** Ends it sooner. */
  readonly signal?: AbortSignal;
  readonly accounts: AccountsByShard;
}

/** Resolves when every transfer sent has an outcome in the tally. */
export async function runWorkload(options: WorkloadOptions, tally: Tally): Promise<void> {
  const endAtMs = performance.now() + options.durationMs;
  const clients = Array.from({ length: options.clients }, (_, index) =>
    runClient(options, tally, index, endAtMs),
  );
  await Promise.all(clients);
}

async function runClient(
  { urls, access, accounts, signal }: WorkloadOptions,
  tally: Tally,
  startAt: number,
  endAtMs: number,
): Promise<void> {
  const onUnknown = (): void => {
    tally.unknown += 1;
  };
  const client = openTransferClient({ urls, startAt, access, onUnknown });
  try {
    while (performance.now() < endAtMs && signal?.aborted !== true) {
      const transfer = randomTransfer(accounts);
      const sentAtMs = performance.now();
      const outcome = await client.send(transfer);
      tally.record(transfer, outcome, sentAtMs, performance.now());
    }
  } finally {
    client.close();
  }
}
