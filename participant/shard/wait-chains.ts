/**
 * From who waits for whom on a server to which of our transactions wait for which: foreign sessions in between are
 * stepped over, so that what is left speaks of ours alone.
 */

export interface ServerWait<Node> {
  readonly waiter: Node;
  /** Names this wait for as long as it lasts: the next one of the same waiter is called otherwise. */
  readonly name: string;
  readonly holders: readonly Node[];
}

export interface ChainedWait<Node> {
  readonly waiter: Node;
  readonly holder: Node;
  /** The names of all waits from the one to the other. */
  readonly evidence: string;
}

/** Stops at the first of ours on every way; the shortest way counts. In the order of `waits`, at most `limit`. */
export function chainWaits<Node>(
  waits: readonly ServerWait<Node>[],
  isOurs: (node: Node) => boolean,
  limit: number,
): readonly ChainedWait<Node>[] {
  const byWaiter = new Map(waits.map((wait) => [wait.waiter, wait]));
  const chained: ChainedWait<Node>[] = [];
  for (const first of waits) {
    if (!isOurs(first.waiter)) continue;
    const seen = new Set([first.waiter]);
    const ways = [{ wait: first, evidence: first.name }];
    // Grows while it is walked: the nodes of the nearest rank come first.
    for (const { wait, evidence } of ways) {
      for (const holder of wait.holders) {
        if (seen.has(holder)) continue;
        seen.add(holder);
        if (isOurs(holder)) {
          if (chained.length === limit) return chained;
          chained.push({ waiter: first.waiter, holder, evidence });
          continue;
        }
        const next = byWaiter.get(holder);
        if (next !== undefined) ways.push({ wait: next, evidence: `${evidence} > ${next.name}` });
      }
    }
  }
  return chained;
}
