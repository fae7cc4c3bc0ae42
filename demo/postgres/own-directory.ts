/**
 * Directories of ours under the machine's temporary directory, where everybody may write: what is found there is
 * used only if it belongs to us and nobody else could have changed it.
 */
import { chmodSync, lstatSync, mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkAs, type ServerUser } from "./server-user.ts";

/** The first temporary directory that the server's user can pass through. */
export function reachableTemporaryDirectory(user: ServerUser | undefined): string {
  const candidates = user === undefined ? [tmpdir()] : [tmpdir(), "/tmp", "/var/tmp"];
  const found = candidates.find(
    (path) => user === undefined || checkAs(user, 'test -x "$1"', [path]).passed,
  );
  if (found === undefined) {
    throw new Error(
      `user ${user?.name ?? ""} cannot reach any of ${candidates.join(", ")}: set TMPDIR`,
    );
  }
  return found;
}

/** `<parent>/<name>-<our uid>`: made if missing, passable but not writable for others. Throws if it is not ours. */
export function ownDirectory(parent: string, name: string): string {
  const uid = process.getuid?.();
  const path = join(parent, uid === undefined ? name : `${name}-${uid}`);
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const found = lstatSync(path);
  const isOurs = found.isDirectory() && (uid === undefined || found.uid === uid);
  const writableByOthers = uid !== undefined && (found.mode & 0o022) !== 0;
  if (!isOurs || writableByOthers) {
    throw new Error(
      `${path} exists, but is not a directory that only this user can write: remove it`,
    );
  }
  if (uid !== undefined) chmodSync(path, 0o711);
  return path;
}
