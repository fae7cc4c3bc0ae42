/**
 * The names under which attempts count as attempts at one thing.
 *
 * A client's key is visible ASCII. What ledgers and shards remember is the scoped key, which keeps the keys of one client apart
 * from those of every other: the client's name, a blank, the key. The blank is in no key, so no key can pass for another
 * client's. While clients have no names there is one scope, whose keys are scoped as they are.
 */

/** Printable ASCII without blanks and quotes. */
export const IDEMPOTENCY_KEY_PATTERN = /^[!#-~]+$/;
export const MAX_IDEMPOTENCY_KEY_LENGTH = 255;

/** `client`: a name without blanks; null while clients are not told apart. */
export function scopedKey(client: string | null, key: string): string {
  return client === null ? key : `${client} ${key}`;
}

const UUID7_PATTERN =
  /^(?:[^ ]+ )?([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i;

/** The milliseconds since 1970 that a scoped key carries if it is a UUIDv7 (RFC 9562, 5.7); undefined for any other. */
export function keyTimeMs(scoped: string): number | undefined {
  const match = UUID7_PATTERN.exec(scoped);
  return match === null ? undefined : Number.parseInt(`${match[1] ?? ""}${match[2] ?? ""}`, 16);
}

/** Clocks of clients and servers may differ by so much before an expired key could pass for a new one. */
const CLOCK_TOLERANCE_MS = 60_000;

/**
 * True for a key that carries its time and was made so long ago that its answer may be forgotten: it must never run again.
 * `forgottenUpToMs`: the newest time up to which a forgotten key may have been made; 0 when none is forgotten.
 */
export function isExpiredKey(scoped: string, forgottenUpToMs: number): boolean {
  if (forgottenUpToMs === 0) return false;
  const madeAtMs = keyTimeMs(scoped);
  return madeAtMs !== undefined && madeAtMs < forgottenUpToMs + CLOCK_TOLERANCE_MS;
}
