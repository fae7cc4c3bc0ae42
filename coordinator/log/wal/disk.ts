/**
 * The few things the log asks of a file system, as a port, so that tests can fail any of them and crash in between. Paths
 * are absolute. Nothing here retries: an error reaches the log, and the log fails for good.
 */
import { dirname } from "node:path";

export interface DiskFile {
  /** Writes at most all of `bytes` at `position`; answers how many were written. */
  write(bytes: Uint8Array, position: number): Promise<number>;
  /** Resolves when everything written, and the length, is on the medium. */
  sync(): Promise<void>;
  truncate(length: number): Promise<void>;
  close(): Promise<void>;
}

export interface Disk {
  /** One level; its parent exists. */
  makeDirectory(path: string): void;
  /** Names in a directory, sorted. */
  list(directory: string): readonly string[];
  exists(path: string): boolean;
  read(path: string): Uint8Array;
  /** At most `length` bytes from `position` on. */
  readPart(path: string, position: number, length: number): Uint8Array;
  /** The same, while the process goes on. */
  fetch(path: string, position: number, length: number): Promise<Uint8Array>;
  lengthOf(path: string): number;
  /** A new file. Fails where there is one already. */
  create(path: string): Promise<DiskFile>;
  /** A file whose every write is on the medium when it resolves. */
  openDurable(path: string): Promise<DiskFile>;
  /** Replaces a file of that name at once: a crash leaves the old or the new one. */
  rename(from: string, to: string): void;
  remove(path: string): Promise<void>;
  /** Makes creations, removals and renames in the directory durable. */
  syncDirectory(directory: string): Promise<void>;
  /** Takes the directory for this process alone, and answers how to release it. Throws LogInUse. */
  lock(directory: string): () => void;
}

/** Loops over short writes: a disk may take less than it was given and call that success. */
export async function writeAll(file: DiskFile, bytes: Uint8Array, position: number): Promise<void> {
  let written = 0;
  while (written < bytes.length) {
    const count = await file.write(bytes.subarray(written), position + written);
    if (count <= 0) throw new Error("the disk takes no more bytes");
    written += count;
  }
}

/** Makes a directory and those above it, each entry durable in the one above. */
export async function makeDirectories(disk: Disk, path: string): Promise<void> {
  if (disk.exists(path)) return;
  await makeDirectories(disk, dirname(path));
  disk.makeDirectory(path);
  await disk.syncDirectory(dirname(path));
}

/** All or nothing, durably: temporary file, sync, rename, sync of the directory. */
export async function writeFileAtomically(disk: Disk, path: string, text: string): Promise<void> {
  const draft = `${path}.draft`;
  if (disk.exists(draft)) await disk.remove(draft);
  const file = await disk.create(draft);
  try {
    await writeAll(file, new TextEncoder().encode(text), 0);
    await file.sync();
  } finally {
    await file.close();
  }
  disk.rename(draft, path);
  await disk.syncDirectory(dirname(path));
}
