/** Wall clocks of coordinators that can be moved one by one (shift.cjs). */
import { chmod, copyFile, mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";

const PROGRAM = "shift.cjs";

export interface Clocks {
  shift(node: number, byMs: number): Promise<void>;
}

/** `directory` is what nodes see of it: their environment is `clockEnvironment`. */
export async function makeClocks(directory: string): Promise<Clocks> {
  await mkdir(directory, { recursive: true });
  await chmod(directory, 0o755);
  await copyFile(join(import.meta.dirname, PROGRAM), join(directory, PROGRAM));
  return {
    // Whole or not at all: the file is read all the time.
    shift: async (node, byMs) => {
      const file = join(directory, `node-${node}`);
      await writeFile(`${file}.new`, String(byMs), { mode: 0o644 });
      await rename(`${file}.new`, file);
    },
  };
}

export function clockEnvironment(directory: string): Readonly<Record<string, string>> {
  return {
    NODE_OPTIONS: `--require=${join(directory, PROGRAM)}`,
    CHAOS_CLOCK_DIRECTORY: directory,
  };
}
