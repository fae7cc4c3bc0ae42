/** A small disk of a member's own, in memory: full when we say so, and nobody else suffers. Needs root. */
import { execFile } from "node:child_process";
import { mkdir, rm, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { MemberDisk } from "./cluster.ts";

const SIZE = "160m";
const BALLAST = "ballast";
const PIECE = Buffer.alloc(64 * 1_024);
const execute = promisify(execFile);

export function canHaveDisks(): boolean {
  return process.platform === "linux" && process.getuid?.() === 0;
}

/** Belongs to the user of the image. */
export async function mountDisk(directory: string, owner: number): Promise<MemberDisk> {
  await mkdir(directory, { recursive: true });
  const options = `size=${SIZE},mode=700,uid=${owner},gid=${owner}`;
  await execute("mount", ["-t", "tmpfs", "-o", options, "tmpfs", directory]);
  const ballast = join(directory, BALLAST);
  return {
    fill: async () => {
      const { bavail, bsize } = await statfs(directory);
      for (let left = bavail * bsize; left > 0; left -= PIECE.length) {
        try {
          await writeFile(ballast, PIECE, { flag: "a" });
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code === "ENOSPC") return;
          throw error;
        }
      }
    },
    free: () => rm(ballast, { force: true }),
  };
}

/** Whatever holds it must have ended. */
export async function unmountDisk(directory: string): Promise<void> {
  await execute("umount", [directory]);
}
