/**
 * The one reading of a request's target that gate and routes share.
 *
 * Whoever guards a path must not read it otherwise than whoever routes it. Express takes a target apart by another rule when it
 * is not a plain path (absolute form) or holds one of a few characters (`#`, blanks): then backslashes become slashes, and hosts
 * and fragments fall away. So what it would read like that is refused, and the rest has one reading only.
 */

/** Origin form of RFC 9112, 3.2.1, in visible ASCII; `#` and `\` are in no URL's path or query. */
const PLAIN_TARGET = /^\/[!"$-[\]-~]*$/;

/** The path before any query, not decoded; undefined for a target that is refused. */
export function pathOf(target: string): string | undefined {
  return PLAIN_TARGET.test(target) ? target.split("?", 1)[0] : undefined;
}
