/** Starts what a supervised program may have, tells the process ids as JSON, and waits to be ended. */
import { join } from "node:path";
import { startEmbeddedPostgres } from "../../../demo/embedded-postgres.ts";
import { startProcess } from "../../../demo/processes/supervisor.ts";

const [directory] = process.argv.slice(2);
if (directory === undefined) throw new Error("usage: start-processes DIRECTORY");

/** Deaf to polite signals, as a hanging process would be. */
const deaf = await startProcess({
  command: process.execPath,
  args: ["-e", "process.on('SIGTERM', () => {}); setInterval(() => {}, 1000)"],
  env: {},
  cwd: "/",
  logFile: join(directory, "deaf.log"),
  stopSteps: [
    { signal: "SIGTERM", graceMs: 200 },
    { signal: "SIGKILL", graceMs: 0 },
  ],
});
const server = await startEmbeddedPostgres({ dataDir: join(directory, "data") });
process.stdout.write(`${JSON.stringify({ deaf: deaf.pid, postgres: server.pid })}\n`);
if (process.argv.includes("--crash")) throw new Error("crashed on purpose");
