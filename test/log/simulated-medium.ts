/** What a file system keeps twice: as programs see it, and as a power loss leaves it. */

const SECTOR_BYTES = 512;

/** Which parts of what was not synced reach the medium: asked for every sector, every length and every name. */
export type Survival = () => boolean;
export const nothingSurvives: Survival = () => false;
export const everythingSurvives: Survival = () => true;

type Change =
  | { readonly kind: "write"; readonly position: number; readonly bytes: Uint8Array }
  | { readonly kind: "truncate"; readonly length: number };

export class Inode {
  cached: Uint8Array = new Uint8Array(0);
  #durable: Uint8Array = new Uint8Array(0);
  #unsynced: Change[] = [];

  /** Cached and not synced; answers the change, for `settle`. */
  change(change: Change): Change {
    this.cached = applied(this.cached, change);
    this.#unsynced.push(change);
    return change;
  }

  /** Makes changes durable; without any: all. */
  settle(changes: readonly Change[] = this.#unsynced): void {
    for (const change of changes) this.#durable = applied(this.#durable, change);
    this.drop(changes);
  }

  /** What a failed sync does: the cache goes on showing them, and no later sync makes them durable. */
  drop(changes: readonly Change[] = this.#unsynced): void {
    this.#unsynced = this.#unsynced.filter((change) => !changes.includes(change));
  }

  losePower(survives: Survival): void {
    for (const change of this.#unsynced) {
      for (const part of partsOf(change)) {
        if (survives()) this.#durable = applied(this.#durable, part);
      }
    }
    this.#unsynced = [];
    this.cached = this.#durable;
  }
}

function applied(content: Uint8Array, change: Change): Uint8Array {
  const isWrite = change.kind === "write";
  const end = isWrite ? change.position + change.bytes.length : change.length;
  const next = new Uint8Array(isWrite ? Math.max(end, content.length) : end);
  next.set(content.subarray(0, next.length));
  if (isWrite) next.set(change.bytes, change.position);
  return next;
}

function partsOf(change: Change): readonly Change[] {
  if (change.kind === "truncate") return [change];
  const parts: Change[] = [];
  for (let from = 0; from < change.bytes.length; from += SECTOR_BYTES) {
    const bytes = change.bytes.subarray(from, from + SECTOR_BYTES);
    parts.push({ kind: "write", position: change.position + from, bytes });
  }
  return parts;
}

interface Naming {
  readonly directory: string;
  readonly removed: string | undefined;
  readonly added: { readonly path: string; readonly inode: Inode } | undefined;
}

export class Names {
  cached = new Map<string, Inode>();
  #durable = new Map<string, Inode>();
  #unsynced: Naming[] = [];

  change(naming: Naming): void {
    apply(this.cached, naming);
    this.#unsynced.push(naming);
  }

  settle(directory: string): void {
    const isSettled = (naming: Naming): boolean => naming.directory === directory;
    for (const naming of this.#unsynced.filter(isSettled)) apply(this.#durable, naming);
    this.#unsynced = this.#unsynced.filter((naming) => !isSettled(naming));
  }

  losePower(survives: Survival): void {
    for (const naming of this.#unsynced) if (survives()) apply(this.#durable, naming);
    this.#unsynced = [];
    this.cached = new Map(this.#durable);
    for (const inode of new Set(this.cached.values())) inode.losePower(survives);
  }
}

function apply(names: Map<string, Inode>, { removed, added }: Naming): void {
  if (removed !== undefined) names.delete(removed);
  if (added !== undefined) names.set(added.path, added.inode);
}
