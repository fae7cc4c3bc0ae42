/**
 * A disk in memory that is as hostile as disk.ts allows. A power loss keeps what was synced, and of the rest any part: torn at
 * sectors of 512 bytes, in any order, with or without the names that were not synced with their directory. A failed sync
 * drops its pages and marks them clean, as Linux does.
 *
 * Processes end at any operation: what an ended one awaits never comes, and what it calls throws.
 */
import { dirname } from "node:path";
import type { Disk, DiskFile } from "../../coordinator/log/wal/disk.ts";
import { LogInUse } from "../../coordinator/log/log-store.ts";
import { Inode, Names, type Survival } from "./simulated-medium.ts";

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
  | "fetch"
  | "syncDirectory";

class Process {
  ended = false;
  /** Operations until it ends. */
  left = Infinity;
  readonly whenEnded: Promise<void>;
  #tell: () => void = () => undefined;

  constructor() {
    this.whenEnded = new Promise((resolve) => {
      this.#tell = resolve;
    });
  }

  end(): void {
    this.ended = true;
    this.#tell();
  }
}

interface Failing {
  readonly operation: Operation;
  /** Undefined: it never ends. */
  readonly message: string | undefined;
  skip: number;
}

/** `begin` happens even if the process ends within the operation, `finish` does not; `fail` happens instead of it. */
interface Steps {
  readonly begin?: () => void;
  readonly finish?: () => void;
  readonly fail?: () => void;
}

export class SimulatedDisk implements Disk {
  readonly #directories = new Set<string>(["/"]);
  readonly #names = new Names();
  #locked = new Set<string>();
  #failing: Failing | undefined;
  #process = new Process();
  /** Of one write, at most. */
  maxWriteBytes = Infinity;
  performed: Operation[] = [];

  /** The process ends within the operation after the next `operations`. */
  endAfter(operations: number): void {
    this.#process.left = operations;
  }

  get whenEnded(): Promise<void> {
    return this.#process.whenEnded;
  }

  get hasEnded(): boolean {
    return this.#process.ended;
  }

  /** One operation fails, after `skip` of its kind. */
  failNext(operation: Operation, message: string, skip = 0): void {
    this.#failing = { operation, message, skip };
  }

  /** One operation begins and never ends; the process goes on. */
  hangNext(operation: Operation, skip = 0): void {
    this.#failing = { operation, message: undefined, skip };
  }

  /** The process ends, and a new one finds what the caches hold. */
  restart(): void {
    this.#process.end();
    this.#process = new Process();
    this.#locked = new Set();
    this.#failing = undefined;
    this.performed = [];
  }

  /** The machine is off and on again. */
  losePower(survives: Survival): void {
    this.#names.losePower(survives);
    this.restart();
  }

  get paths(): readonly string[] {
    return [...this.#names.cached.keys()].sort();
  }

  /** Damages a file, or makes one, durably. */
  overwrite(path: string, bytes: Uint8Array): void {
    const inode = new Inode();
    inode.change({ kind: "write", position: 0, bytes: bytes.slice() });
    inode.settle();
    const directory = dirname(path);
    this.#names.change({ directory, removed: undefined, added: { path, inode } });
    this.#names.settle(directory);
  }

  delete(path: string): void {
    const directory = dirname(path);
    this.#names.change({ directory, removed: path, added: undefined });
    this.#names.settle(directory);
  }

  /** The files as programs see them, for another experiment. */
  copy(): SimulatedDisk {
    const copy = new SimulatedDisk();
    for (const directory of this.#directories) copy.makeDirectory(directory);
    for (const path of this.paths) copy.overwrite(path, this.read(path));
    return copy;
  }

  makeDirectory(path: string): void {
    this.#directories.add(path);
  }

  list(directory: string): readonly string[] {
    const within = this.paths.filter((path) => dirname(path) === directory);
    return within.map((path) => path.slice(directory.length + 1));
  }

  exists(path: string): boolean {
    return this.#directories.has(path) || this.#names.cached.has(path);
  }

  read(path: string): Uint8Array {
    return this.#inode(path).cached.slice();
  }

  readPart(path: string, position: number, length: number): Uint8Array {
    return this.#inode(path).cached.slice(position, position + length);
  }

  async fetch(path: string, position: number, length: number): Promise<Uint8Array> {
    await this.#perform("fetch", {});
    return this.readPart(path, position, length);
  }

  lengthOf(path: string): number {
    return this.#inode(path).cached.length;
  }

  async create(path: string): Promise<DiskFile> {
    const inode = new Inode();
    await this.#perform("create", {
      begin: () => {
        if (this.exists(path)) throw new Error(`EEXIST: ${path}`);
        this.#names.change({
          directory: dirname(path),
          removed: undefined,
          added: { path, inode },
        });
      },
    });
    return this.#file(inode, "write");
  }

  async openDurable(path: string): Promise<DiskFile> {
    await this.#perform("openDurable", {});
    return this.#file(this.#inode(path), "durableWrite");
  }

  rename(from: string, to: string): void {
    this.#performNow("rename", () => {
      const inode = this.#inode(from);
      this.#names.change({ directory: dirname(to), removed: from, added: { path: to, inode } });
    });
  }

  remove(path: string): Promise<void> {
    return this.#perform("remove", {
      begin: () => {
        this.#inode(path);
        this.#names.change({ directory: dirname(path), removed: path, added: undefined });
      },
    });
  }

  syncDirectory(directory: string): Promise<void> {
    return this.#perform("syncDirectory", {
      finish: () => {
        this.#names.settle(directory);
      },
    });
  }

  lock(directory: string): () => void {
    if (this.#locked.has(directory)) throw new LogInUse(`${directory} is in use`);
    const locked = this.#locked;
    locked.add(directory);
    return () => {
      locked.delete(directory);
    };
  }

  #inode(path: string): Inode {
    const inode = this.#names.cached.get(path);
    if (inode === undefined) throw new Error(`ENOENT: ${path}`);
    return inode;
  }

  #file(inode: Inode, kind: "write" | "durableWrite"): DiskFile {
    const process = this.#process;
    const perform = (operation: Operation, steps: Steps): Promise<void> =>
      this.#perform(operation, steps, process);
    return {
      write: async (bytes, position) => {
        const written = bytes.slice(0, this.maxWriteBytes);
        const change = { kind: "write", position, bytes: written } as const;
        await perform(kind, {
          begin: () => inode.change(change),
          ...(kind === "durableWrite" && {
            finish: () => {
              inode.settle([change]);
            },
            fail: () => {
              inode.drop([change]);
            },
          }),
        });
        return written.length;
      },
      sync: () =>
        perform("sync", {
          finish: () => {
            inode.settle();
          },
          fail: () => {
            inode.drop();
          },
        }),
      truncate: (length) =>
        perform("truncate", { begin: () => inode.change({ kind: "truncate", length }) }),
      close: () => perform("close", {}),
    };
  }

  async #perform(
    operation: Operation,
    { begin, finish, fail }: Steps,
    process = this.#process,
  ): Promise<void> {
    await Promise.resolve();
    if (hasEnded(process)) return never();
    this.performed.push(operation);
    begin?.();
    if (this.#endsNow(process)) return never();
    if (this.#failsNow(operation)) {
      if (this.#failing?.message === undefined) return never();
      fail?.();
      throw new Error(this.#failing.message);
    }
    finish?.();
    await Promise.resolve();
    if (hasEnded(process)) return never();
  }

  #performNow(operation: Operation, act: () => void): void {
    if (this.#process.ended) throw new Error("the process has ended");
    this.performed.push(operation);
    act();
    if (this.#endsNow(this.#process)) throw new Error("the process ends here");
    if (this.#failsNow(operation)) throw new Error(this.#failing?.message);
  }

  #endsNow(process: Process): boolean {
    process.left -= 1;
    if (process.left < 0) process.end();
    return process.ended;
  }

  #failsNow(operation: Operation): boolean {
    if (this.#failing?.operation !== operation) return false;
    this.#failing.skip -= 1;
    return this.#failing.skip === -1;
  }
}

/** Other code may end it between two looks. */
const hasEnded = (process: Process): boolean => process.ended;
const never = (): Promise<never> => new Promise(() => undefined);
