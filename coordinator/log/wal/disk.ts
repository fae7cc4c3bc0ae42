/**
 * The few things the log asks of a file system, as a port, so that tests can fail any of them. Paths are absolute. Nothing
 * here retries: an error reaches the log, and the log fails for good.
 */
import * as fs from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";

export interface DiskFile {
  /** Writes at most all of `bytes` at `position`; answers how many were written. */
  write(bytes: Uint8Array, position: number): Promise<number>;
  /** Resolves when everything written is on the medium. */
  sync(): Promise<void>;
  truncate(length: number): Promise<void>;
  close(): Promise<void>;
}

export interface Disk {
  makeDirectory(path: string): void;
  /** Names in a directory, sorted. */
  list(directory: string): readonly string[];
  exists(path: string): boolean;
  read(path: string): Uint8Array;
  readStart(path: string, length: number): Uint8Array;
  create(path: string): Promise<DiskFile>;
  open(path: string): Promise<DiskFile>;
  remove(path: string): void;
  /** Makes creations, removals and renames in the directory durable. */
  syncDirectory(directory: string): Promise<void>;
  /** All or nothing, durably: temporary file, sync, rename, sync of the directory. */
  writeAtomically(path: string, text: string): Promise<void>;
}

const write = promisify(fs.write);
const fdatasync = promisify(fs.fdatasync);
const fsync = promisify(fs.fsync);

function diskFile(descriptor: number): DiskFile {
  return {
    write: async (bytes, position) => {
      const { bytesWritten } = await write(descriptor, bytes, 0, bytes.length, position);
      return bytesWritten;
    },
    sync: () => fdatasync(descriptor),
    truncate: promisify(fs.ftruncate).bind(undefined, descriptor),
    close: promisify(fs.close).bind(undefined, descriptor),
  };
}

export const systemDisk: Disk = {
  makeDirectory: (path) => {
    fs.mkdirSync(path, { recursive: true });
  },
  list: (directory) => fs.readdirSync(directory).sort(),
  exists: (path) => fs.existsSync(path),
  read: (path) => fs.readFileSync(path),
  readStart: (path, length) => {
    const descriptor = fs.openSync(path, "r");
    try {
      const bytes = new Uint8Array(length);
      return bytes.subarray(0, fs.readSync(descriptor, bytes, 0, length, 0));
    } finally {
      fs.closeSync(descriptor);
    }
  },
  create: async (path) => diskFile(await promisify(fs.open)(path, "wx")),
  open: async (path) => diskFile(await promisify(fs.open)(path, "r+")),
  remove: (path) => {
    fs.unlinkSync(path);
  },
  syncDirectory: async (directory) => {
    const descriptor = await promisify(fs.open)(directory, "r");
    try {
      await fsync(descriptor);
    } finally {
      fs.closeSync(descriptor);
    }
  },
  writeAtomically: async (path, text) => {
    const temporary = join(dirname(path), `.${String(process.pid)}.temporary`);
    const descriptor = fs.openSync(temporary, "w");
    try {
      fs.writeFileSync(descriptor, text);
      await fsync(descriptor);
    } finally {
      fs.closeSync(descriptor);
    }
    fs.renameSync(temporary, path);
    await systemDisk.syncDirectory(dirname(path));
  },
};

/** Loops over short writes: a disk may take less than it was given and call that success. */
export async function writeAll(file: DiskFile, bytes: Uint8Array, position: number): Promise<void> {
  let written = 0;
  while (written < bytes.length) {
    const count = await file.write(bytes.subarray(written), position + written);
    if (count <= 0) throw new Error("the disk takes no more bytes");
    written += count;
  }
}
