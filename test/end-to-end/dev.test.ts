/** The program behind `npm run dev`, with clients that are told apart. */
import { spawn, type ChildProcess } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ClusterHome } from "../support/cluster-home.ts";
import { runCommand } from "../support/command-line.ts";
import { eventually } from "../support/wait.ts";

const PROGRAM = join(import.meta.dirname, "..", "..", "dist", "demo", "dev.js");
const START_MS = 60_000;

const home = new ClusterHome("dev");
let dev: ChildProcess;
let said = "";

beforeAll(async () => {
  const tokens = [createHash("sha256").update("shop-1").digest("hex")];
  const clients = [{ id: "shop", role: "client", tokens, rawSql: false }];
  const statements = { balance: { sql: "select balance from accounts where id = $1", params: 1 } };
  writeFileSync(home.file("clients.json"), JSON.stringify({ clients }));
  writeFileSync(home.file("statements.json"), JSON.stringify({ statements }));
  writeFileSync(home.file("token"), "shop-1\n");
  const options = ["--clients", "clients.json", "--statements", "statements.json"];
  const size = ["--coordinators", "1", "--shards", "1", "--token-file", "token"];
  dev = spawn(process.execPath, [PROGRAM, ...size, ...options], {
    cwd: home.path,
    env: { PATH: process.env["PATH"], SYNOD_CLIENTS_FILE: "/elsewhere", SYNOD_TLS_CA: "ca.pem" },
  });
  for (const stream of [dev.stdout, dev.stderr]) {
    stream?.on("data", (text: Buffer) => (said += text.toString()));
  }
  await eventually("it says that it runs", () => said.includes("Ctrl-C ends it all."), START_MS);
}, 2 * START_MS);

afterAll(async () => {
  if (dev.exitCode === null) {
    dev.kill("SIGTERM");
    await once(dev, "exit");
  }
  await home.remove();
});

test("it says which variables of the environment do not reach the cluster, and what to give instead", () => {
  expect(said.split("\n").filter((line) => line.startsWith("IGNORED"))).toEqual([
    "IGNORED: SYNOD_CLIENTS_FILE of the environment does not reach the cluster; give it as --clients",
  ]);
});

test("clients and named statements are those of the files", async () => {
  const read = ["read", "--statement", "s1=balance", "--param", "alice"];
  const known = await runCommand(home.path, { SYNOD_TOKEN_FILE: "token" }, ...read);
  expect(known.out).toContain("1000");
  const stranger = await runCommand(home.path, {}, ...read);
  expect([stranger.code, stranger.err]).toEqual([6, expect.stringContaining("bearer token")]);
});

test("a process that was killed is started again on SIGUSR2", async () => {
  const pids = (): number[] => {
    const file = readFileSync(home.file(".synod/cluster.json"), "utf8");
    const { participants } = JSON.parse(file) as { participants: { pid: number }[] };
    return participants.map(({ pid }) => pid);
  };
  const [killed] = pids();
  process.kill(killed!, "SIGKILL");
  await eventually(
    "it runs again",
    () => {
      dev.kill("SIGUSR2");
      return /participant s1 runs again {3}pid \d+/.test(said);
    },
    START_MS,
  );
  expect(pids()).not.toEqual([killed]);
});
