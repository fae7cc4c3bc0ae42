/**
 * Where a server's data lives, and how it comes into being.
 *
 * `initdb` runs in a directory beside the final one and is renamed when complete, so that an interrupted run
 * leaves nothing that looks like a database. The superuser gets a random password, kept in a file inside the data
 * directory: on a machine shared with others, an open superuser port would hand them our account.
 *
 * Started by root in a place that the server's user cannot reach (a clone under /root), the data goes to
 * `<temporary directory>/synod-postgres-data-0/<hash of the path>`, and the asked-for path becomes a link to it.
 *
 * Tests make dozens of databases, and `initdb` is the slowest part of each. Where TEMPLATE_VARIABLE names the data directory
 * of a stopped server, a new one is a copy of it, superuser and password included, and not synced to disk.
 */
import { createHash, randomBytes } from "node:crypto";
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { z } from "zod";
import { logTail } from "../log-tail.ts";
import { startProcess } from "../processes/supervisor.ts";
import type { PostgresBinaries } from "./binaries.ts";
import { ownDirectory, reachableTemporaryDirectory } from "./own-directory.ts";
import { checkAs, type ServerUser } from "./server-user.ts";

export const TEMPLATE_VARIABLE = "SYNOD_POSTGRES_TEMPLATE";
const UNFINISHED = ".initdb";
const SUPERUSER_FILE = "synod-superuser.json";

const Superuser = z.object({ name: z.string(), password: z.string() }).readonly();
type Superuser = z.infer<typeof Superuser>;

export interface DataDirectory {
  readonly path: string;
  readonly superuser: Superuser;
}

/** Reuses the database in `asked`, or makes one. Throws with the log of initdb when that fails. */
export async function prepareDataDirectory(
  asked: string,
  binaries: PostgresBinaries,
  user: ServerUser | undefined,
  superuserName: string,
): Promise<DataDirectory> {
  const path = placeDataDirectory(resolve(asked), user);
  if (!existsSync(join(path, "PG_VERSION"))) {
    if (existsSync(path) && readdirSync(path).length > 0) {
      throw new Error(`${path} is neither empty nor the data directory of a Postgres server`);
    }
    await initialize(path, binaries, user, superuserName);
  }
  const superuserFile = readFileSync(join(path, SUPERUSER_FILE), "utf8");
  return { path, superuser: Superuser.parse(JSON.parse(superuserFile)) };
}

/** Deletes the data, also where the path is a link to it. The server must have been stopped. */
export function removeDataDirectory(asked: string): void {
  const path = resolve(asked);
  const target = linkTarget(path);
  for (const base of target === undefined ? [path] : [target, path]) {
    for (const data of [`${base}${UNFINISHED}`, base]) {
      rmSync(data, { recursive: true, force: true, maxRetries: 5 });
    }
  }
}

function placeDataDirectory(asked: string, user: ServerUser | undefined): string {
  mkdirSync(dirname(asked), { recursive: true });
  if (user === undefined) return asked;
  const existing = linkTarget(asked);
  if (existing !== undefined) return existing;
  if (checkAs(user, 'test -x "$1"', [dirname(asked)]).passed) return asked;
  const reachable = ownDirectory(reachableTemporaryDirectory(user), "synod-postgres-data");
  const hash = createHash("sha256").update(asked).digest("hex").slice(0, 16);
  const target = join(reachable, `${hash}-${basename(asked)}`);
  // Whoever deleted the link meant the data.
  rmSync(target, { recursive: true, force: true });
  if (existsSync(asked)) rmdirSync(asked);
  symlinkSync(target, asked);
  return target;
}

function linkTarget(path: string): string | undefined {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found?.isSymbolicLink() === true ? resolve(dirname(path), readlinkSync(path)) : undefined;
}

async function initialize(
  path: string,
  binaries: PostgresBinaries,
  user: ServerUser | undefined,
  superuserName: string,
): Promise<void> {
  const unfinished = `${path}${UNFINISHED}`;
  rmSync(unfinished, { recursive: true, force: true });
  mkdirSync(unfinished);
  const data = join(unfinished, "data");
  const template = process.env[TEMPLATE_VARIABLE];
  if (template === undefined || template === "") {
    await makeDatabase(data, binaries, user, superuserName);
  } else {
    cpSync(template, data, { recursive: true });
    giveAll(data, user);
  }
  if (existsSync(path)) rmdirSync(path);
  renameSync(data, path);
  rmSync(unfinished, { recursive: true, force: true });
}

async function makeDatabase(
  data: string,
  binaries: PostgresBinaries,
  user: ServerUser | undefined,
  superuserName: string,
): Promise<void> {
  const superuser: Superuser = { name: superuserName, password: randomBytes(16).toString("hex") };
  const unfinished = dirname(data);
  mkdirSync(data);
  const passwordFile = join(unfinished, "password");
  writeFileSync(passwordFile, superuser.password, { mode: 0o600 });
  for (const owned of [unfinished, data, passwordFile]) give(owned, user);
  await runInitdb(binaries, user, superuserName, { data, passwordFile });
  const superuserFile = join(data, SUPERUSER_FILE);
  writeFileSync(superuserFile, JSON.stringify(superuser), { mode: 0o600 });
  give(superuserFile, user);
}

async function runInitdb(
  binaries: PostgresBinaries,
  user: ServerUser | undefined,
  superuserName: string,
  paths: { readonly data: string; readonly passwordFile: string },
): Promise<void> {
  const logFile = join(dirname(paths.data), "initdb.log");
  // One scram iteration suffices for a random password of 128 bits, and keeps connecting cheap.
  const initdb = await startProcess({
    command: binaries.initdb,
    args: [
      ["--pgdata", paths.data, "--username", superuserName, "--pwfile", paths.passwordFile],
      ["--encoding", "UTF8", "--locale", "C", "--auth", "scram-sha-256"],
      ["--set", "scram_iterations=1", "--no-instructions"],
    ].flat(),
    env: { PATH: process.env["PATH"] ?? "", LC_ALL: "C" },
    cwd: "/",
    logFile,
    stopSteps: [
      { signal: "SIGINT", graceMs: 2_000 },
      { signal: "SIGKILL", graceMs: 0 },
    ],
    ...identity(user),
  });
  const exit = await initdb.exited;
  if (exit.code === 0) return;
  throw new Error(`initdb failed (${exit.signal ?? exit.code ?? "?"}):\n${logTail(logFile)}`);
}

export function identity(user: ServerUser | undefined): { uid?: number; gid?: number } {
  return user === undefined ? {} : { uid: user.uid, gid: user.gid };
}

/** Makes the server's user the owner, and nobody else able to read. */
export function give(path: string, user: ServerUser | undefined): void {
  if (user === undefined) return;
  chownSync(path, user.uid, user.gid);
  chmodSync(path, lstatSync(path).isDirectory() ? 0o700 : 0o600);
}

function giveAll(path: string, user: ServerUser | undefined): void {
  if (user === undefined) return;
  give(path, user);
  for (const entry of readdirSync(path, { recursive: true, encoding: "utf8" })) {
    give(join(path, entry), user);
  }
}
