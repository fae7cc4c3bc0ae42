/** The smallest of the values that at least `share` of them do not exceed (nearest rank); null of none. */
export function percentile(ascending: readonly number[], share: number): number | null {
  const rank = Math.max(1, Math.ceil(share * ascending.length));
  return ascending[rank - 1] ?? null;
}
