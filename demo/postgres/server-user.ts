/**
 * As whom a Postgres server runs. Postgres refuses to run as root; started by root it runs as another user of
 * the machine, who must be able to reach the binaries and the data.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";

export interface ServerUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** In this order; without any of them, the first user of the machine that is not root. */
const PREFERRED_USERS = ["postgres", "_postgres", "nobody"];

/** `undefined`: the server runs as ourselves. Throws when we are root and the machine has no other user. */
export function findServerUser(): ServerUser | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const users = parseUsers(readFileSync("/etc/passwd", "utf8"));
  const preferred = PREFERRED_USERS.map((name) => users.find((user) => user.name === name));
  const user = preferred.find((candidate) => candidate !== undefined) ?? users[0];
  if (user === undefined) {
    throw new Error(
      "Postgres does not run as root, and /etc/passwd has no other user: add one, or run as an ordinary user",
    );
  }
  return user;
}

/** The users of an /etc/passwd that may own processes and files, root excepted. */
export function parseUsers(passwd: string): readonly ServerUser[] {
  return passwd.split("\n").flatMap((line) => {
    const [name, , uid, gid] = line.split(":");
    if (line.startsWith("#") || name === undefined || uid === undefined) return [];
    const user: ServerUser = { name, uid: Number(uid), gid: Number(gid) };
    return user.uid > 0 && user.gid >= 0 ? [user] : [];
  });
}

export interface CheckResult {
  readonly passed: boolean;
  readonly details: string;
}

/** Runs a shell script as the server's user, with `args` as $1…; the only sure way to know what it can reach. */
export function checkAs(
  user: ServerUser | undefined,
  script: string,
  args: readonly string[],
): CheckResult {
  const result = spawnSync("/bin/sh", ["-c", script, "sh", ...args], {
    cwd: "/",
    env: {},
    encoding: "utf8",
    ...(user === undefined ? {} : { uid: user.uid, gid: user.gid }),
  });
  if (result.error) return { passed: false, details: result.error.message };
  return { passed: result.status === 0, details: result.stderr.trim() };
}
