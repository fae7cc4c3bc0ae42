/**
 * Which modes of Postgres' locks conflict: the table of its manual ("Conflicting Lock Modes"), which the server has no view
 * of. The modes of advisory, transaction and row locks are among these.
 */

/** Weakest first. */
const MODES = [
  "AccessShareLock",
  "RowShareLock",
  "RowExclusiveLock",
  "ShareUpdateExclusiveLock",
  "ShareLock",
  "ShareRowExclusiveLock",
  "ExclusiveLock",
  "AccessExclusiveLock",
] as const;

/** Per mode, in the order of MODES: x where it conflicts with the mode of that place. */
const CONFLICTS: Readonly<Record<string, string>> = {
  AccessShareLock: ".......x",
  RowShareLock: "......xx",
  RowExclusiveLock: "....xxxx",
  ShareUpdateExclusiveLock: "...xxxxx",
  ShareLock: "..xx.xxx",
  ShareRowExclusiveLock: "..xxxxxx",
  ExclusiveLock: ".xxxxxxx",
  AccessExclusiveLock: "xxxxxxxx",
};

/** False for modes that are no locks to wait for (SIReadLock). */
export function modesConflict(one: string, other: string): boolean {
  const place = MODES.findIndex((mode) => mode === other);
  return CONFLICTS[one]?.[place] === "x";
}
