/**
 * Where the simulator can delay an effect of the twin, or make it go wrong.
 */

export type MemoryEffect =
  | "begin"
  | "execute"
  | "read"
  | "prepare"
  | "commit"
  | "rollback"
  | "commitPrepared"
  | "rollbackPrepared"
  | "list"
  | "waits"
  | "status"
  | "fence"
  | "receipt";

export type MemoryPoint =
  `before ${MemoryEffect}` | `after ${MemoryEffect}` | `late ${MemoryEffect}`;

/**
 * `lose`: the connection breaks here: before the effect, which then does not happen, or after it.
 * `late`: the connection breaks before the effect, and the effect happens all the same, when the hook of its late point
 * has resolved, unless a fence or a crash comes first. Only before prepare, commit, commitPrepared and rollbackPrepared.
 * `rollback`: the server has rolled the transaction back without an error. Only before prepare.
 */
export type MemoryVerdict = "ok" | "lose" | "late" | "rollback";

export interface MemoryHooks {
  /** Resolves when the effect may go on. */
  hook(point: MemoryPoint): Promise<MemoryVerdict>;
}

export const NO_HOOKS: MemoryHooks = { hook: () => Promise.resolve("ok") };
