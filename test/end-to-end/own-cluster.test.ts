/** The script with which README.md shows a cluster over databases that are there already. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { freePort } from "../../demo/ports.ts";
import { ClusterHome } from "../support/cluster-home.ts";
import { runCommand } from "../support/command-line.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { eventually } from "../support/wait.ts";

const SCRIPT = join(import.meta.dirname, "..", "..", "demo", "own-cluster.sh");
const START_MS = 60_000;

test(
  "the script starts a cluster over two given databases, and ends all of it",
  async () => {
    const home = new ClusterHome("own-cluster");
    const urls = [await createTestDatabase(), await createTestDatabase()];
    const env = { PATH: process.env["PATH"], BASE_PORT: String(await freePort()) };
    const script = spawn("sh", [SCRIPT, ...urls], { cwd: home.path, env });
    let said = "";
    for (const stream of [script.stdout, script.stderr]) {
      stream.on("data", (text: Buffer) => (said += text.toString()));
    }
    const ended = once(script, "exit");
    await eventually("it is ready", () => /^ready: |not ready/.test(said), START_MS);
    const [, endpoints = said] = /^ready: --endpoints (\S+)\n/.exec(said) ?? [];
    const operations = ["--op", "s1=select 1 as one", "--op", "s2=select 2 as two"];
    const run = await runCommand(
      home.path,
      { SYNOD_ENDPOINTS: endpoints },
      "tx",
      "run",
      ...operations,
    );
    expect([run.err, run.code]).toEqual(["", 0]);
    expect(run.out).toContain("committed");
    script.kill("SIGTERM");
    expect(await ended).toEqual([0, null]);
    const after = await runCommand(
      home.path,
      { SYNOD_ENDPOINTS: endpoints },
      "--deadline",
      "500",
      "status",
    );
    expect(after.code).toBe(5);
    await home.remove();
  },
  2 * START_MS,
);
