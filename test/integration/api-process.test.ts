/** A coordinator as a process: its exit codes, its signals, and what it says when its settings are wrong. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { get } from "../support/api-node.ts";
import { eventually } from "../support/wait.ts";

const MAIN = join(import.meta.dirname, "../../coordinator/main.ts");
const directory = mkdtempSync(join(tmpdir(), "coordinator-process-"));
const running = new Set<ChildProcess>();

afterAll(async () => {
  await Promise.all([...running].map((child) => end(child)));
  rmSync(directory, { recursive: true, force: true });
});

async function end(child: ChildProcess): Promise<void> {
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}

interface Run {
  readonly child: ChildProcess;
  readonly exited: Promise<number | null>;
  readonly said: () => string;
}

function run(env: Record<string, string>): Run {
  const args = ["--import", "tsx", MAIN];
  const child = spawn(process.execPath, args, { env: { PATH: process.env["PATH"], ...env } });
  running.add(child);
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
  const exited = once(child, "exit").then(([code]) => {
    running.delete(child);
    return code as number | null;
  });
  return { child, exited, said: () => said };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function aloneEnvironment(
  name: string,
): Promise<{ env: Record<string, string>; url: string }> {
  const [http, peer] = [await freePort(), await freePort()];
  const url = `http://127.0.0.1:${http}`;
  const env = {
    SYNOD_CLUSTER_ID: "alone",
    SYNOD_NODE_ID: "1",
    SYNOD_DATA_DIR: join(directory, name),
    SYNOD_HTTP_LISTEN: `127.0.0.1:${http}`,
    SYNOD_PEER_LISTEN: `127.0.0.1:${peer}`,
    SYNOD_PEERS: `1=127.0.0.1:${peer}`,
    SYNOD_COORDINATORS: `1=${url}`,
    SYNOD_PARTICIPANTS: "s1=127.0.0.1:9",
  };
  return { env, url };
}

async function becomesReady(url: string): Promise<void> {
  await eventually("the node is ready", async () => {
    const answer = await get(url, "/readyz").catch(() => undefined);
    return answer?.status === 200;
  });
}

test("tells every setting that is missing, and ends with code 2", async () => {
  const { exited, said } = run({ SYNOD_NODE_ID: "7000" });
  expect(await exited).toBe(2);
  expect(said()).toMatch("SYNOD_CLUSTER_ID is not set");
  expect(said()).toMatch('SYNOD_NODE_ID must be a whole number from 1 to 1023, but is "7000"');
});

test.each(["SIGTERM", "SIGINT"] as const)(
  "a group of one becomes ready, and ends with code 0 on %s",
  async (signal) => {
    const { env, url } = await aloneEnvironment(signal);
    const { child, exited, said } = run(env);
    await becomesReady(url);
    child.kill(signal);
    expect(await exited).toBe(0);
    expect(said()).toMatch('"msg":"shutting down"');
    const again = run(env);
    await becomesReady(url);
    again.child.kill("SIGKILL");
    expect(await again.exited).toBeNull();
  },
);

test("a log of another node ends the process with code 1 and a line that says why", async () => {
  const { env, url } = await aloneEnvironment("identity");
  const first = run(env);
  await becomesReady(url);
  first.child.kill("SIGTERM");
  await first.exited;
  const second = run({ ...env, SYNOD_CLUSTER_ID: "another" });
  expect(await second.exited).toBe(1);
  expect(second.said()).toMatch("fatal: this process cannot go on");
  expect(second.said()).toMatch("LogIdentityMismatch");
});
