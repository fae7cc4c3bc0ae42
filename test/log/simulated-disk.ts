/**
 * A disk in memory that is as hostile as the contract of disk.ts allows.
 *
 *   cached    what programs read; survives the end of a process
 *   durable   what survives a power loss: what was synced, and of the rest any part, torn at 512-byte sectors and in any order;
 *             of names not synced with their directory, any part
 *
 * `failNext` makes one operation fail. A failed sync or durable write drops its pages and marks them clean, as Linux does: the
 * cache goes on showing them, and no later sync makes them durable. `stopAfter` ends the process in the middle of an
 * operation: what it awaits never ends, what it calls throws.
 */
import { dirname, join } from "node:path";
import type { Disk, DiskFile } from "../../coordinator/log/wal/disk.ts";
import { LogInUse } from "../../coordinator/log/log-store.ts";

const SECTOR_BYTES = 512;

type Change =
  | { readonly kind: "write"; readonly position: number; readonly bytes: Uint8Array }
  | { readonly kind: "truncate"; readonly length: number };

class Inode {
  cached = new Uint8Array(0);
  durable = new Uint8Array(0);
  unsynced: Change[] = [];
}

type Renaming = {
  readonly directory: string;
  readonly removed: string | undefined;
  readonly added: { readonly path: string; readonly inode: Inode } | undefined;
};

export type Operation =
  | "create"
  | "openDurable"
  | "write"
  | "durableWrite"
  | "sync"
  | "truncate"
  | "close"
  | "rename"
  | "remove"
  | "syncDirectory";

/** Which parts of what was not synced reach the medium: called for every sector, length and name. */
export type Survival = () => boolean;
export const nothingSurvives: Survival = () => false;
export const everythingSurvives: Survival = () => true;

class ProcessEnded extends Error {
  override readonly name = "ProcessEnded";
}

export class SimulatedDisk implements Disk {
  readonly #directories = new Set<string>(["/"]);
  #names = new Map<string, Inode>();
  #durableNames = new Map<string, Inode>();
  #renamings: Renaming[] = [];
  #locked = new Set<string>();
  #failing: { readonly operation: Operation; skip: number; readonly error: Error } | undefined;
  #process = { ended: false, end: (): void => undefined };
  #stopAfter = Infinity;
  /** Of one write, at most. */
  maxWriteBytes = Infinity;
  readonly performed: Operation[] = [];

  /** The process ends within the operation after the next `operations`. Resolves then. */
  stopAfter(operations: number): Promise<void> {
    this.#stopAfter = operations;
    return new Promise((resolve) => {
      this.#process.end = resolve;
    });
  }

  failNext(operation: Operation, message: string, skip = 0): void {
    this.#failing = { operation, skip, error: new Error(message) };
  }

  /** A new process finds what the caches hold. */
  restart(): void {
    this.#locked = new Set();
    this.#failing = undefined;
    this.#stopAfter = Infinity;
    this.#process = { ended: false, end: () => undefined };
  }

  /** The machine lost its power and is up again. */
  powerLoss(survives: Survival): void {
    for (const renaming of this.#renamings) if (survives()) rename(this.#durableNames, renaming);
    this.#renamings = [];
    this.#names = new Map(this.#durableNames);
    for (const inode of new Set(this.#names.values())) {
      for (const change of inode.unsynced) inode.durable = applyPartly(inode.durable, change, survives);
      inode.cached = inode.durable.slice();
      inode.unsynced = [];
    }
    this.restart();
  }

  /** For damage: what every program sees from now on. */
  overwrite(path: string, bytes: Uint8Array): void {
    const inode = this.#names.get(path) ?? new Inode();
    inode.cached = bytes.slice();
    inode.durable = bytes.slice();
    inode.unsynced = [];
    this.#names.set(path, inode);
    this.#durableNames.set(path, inode);
  }

  delete(path: string): void {
    this.#names.delete(path);
    this.#durableNames.delete(path);
  }

  /** The same files for another experiment. Nothing may be unsynced. */
  copy(): SimulatedDisk {
    const copy = new SimulatedDisk();
    for (const directory of this.#directories) copy.#directories.add(directory);
    for (const [path, { cached }] of this.#names) copy.overwrite(path, cached);
    return copy;
  }

  makeDirectory(path: string): void {
    this.#directories.add(path);
  }

  list(directory: string): readonly string[] {
    const paths = [...this.#names.keys()].filter((path) => dirname(path) === directory);
    return paths.map((path) => path.slice(directory.length + 1)).sort();
  }

  exists(path: string): boolean {
    return this.#directories.has(path) || this.#names.has(path);
  }

  read(path: string): Uint8Array {
    return this.#inode(path).cached.slice();
  }

  readStart(path: string, length: number): Uint8Array {
    return this.read(path).subarray(0, length);
  }

  async create(path: string): Promise<DiskFile> {
    const { end } = await this.#begin("create");
    if (this.#names.has(path)) throw new Error(`EEXIST: ${path}`);
    const inode = new Inode();
    this.#note({ directory: dirname(path), removed: undefined, added: { path, inode } });
    end();
    return this.#file(inode, false);
  }

  async openDurable(path: string): Promise<DiskFile> {
    const { end } = await this.#begin("openDurable");
    end();
    return this.#file(this.#inode(path), true);
  }

  rename(from: string, to: string): void {
    this.#beginNow("rename");
    const inode = this.#inode(from);
    this.#note({ directory: dirname(to), removed: from, added: { path: to, inode } });
  }

  remove(path: string): void {
    this.#beginNow("remove");
    this.#inode(path);
    this.#note({ directory: dirname(path), removed: path, added: undefined });
  }

  async syncDirectory(directory: string): Promise<void> {
    const { end } = await this.#begin("syncDirectory");
    const isDone = (renaming: Renaming): boolean => renaming.directory === directory;
    for (const renaming of this.#renamings.filter(isDone)) rename(this.#durableNames, renaming);
    this.#renamings = this.#renamings.filter((renaming) => !isDone(renaming));
    end();
  }

  lock(directory: string): () => void {
    if (this.#locked.has(directory)) throw new LogInUse(`${directory} is in use`);
    const { process } = { process: this.#process };
    this.#locked.add(directory);
    return () => {
      if (!process.ended) this.#locked.delete(directory);
    };
  }

  #file(inode: Inode, durableWrites: boolean): DiskFile {
    const operation = durableWrites ? "durableWrite" : "write";
    return {
      write: async (bytes, position) => {
        const written = bytes.slice(0, this.maxWriteBytes);
        const change: Change = { kind: "write", position, bytes: written };
        const { failure, end } = await this.#begin(operation, () => {
          change_(inode, change);
        });
        if (durableWrites) settle(inode, [change], failure === undefined);
        if (failure !== undefined) throw failure;
        end();
        return written.length;
      },
      sync: async () => {
        const { failure, end } = await this.#begin("sync");
        settle(inode, [...inode.unsynced], failure === undefined);
        if (failure !== undefined) throw failure;
        end();
      },
      truncate: async (length) => {
        const { end } = await this.#begin("truncate");
        change_(inode, { kind: "truncate", length });
        end();
      },
      close: async () => {
        const { end } = await this.#begin("close");
        end();
      },
    };
  }
}
