import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runningProcess } from "../../demo/cluster/cluster-file.ts";
import { coordinatorEnvironment, planTopology } from "../../demo/cluster/topology.ts";
import { wholeNumber } from "../../client/commands/parsing.ts";
import { startLocalCluster } from "../../demo/local-cluster.ts";
import { logTail } from "../../demo/log-tail.ts";
import { freePorts } from "../../demo/ports.ts";
import { Tally } from "../../demo/transfers/tally.ts";
import { randomTransfer } from "../../demo/transfers/transfer.ts";

const ACCOUNTS = new Map([
  ["s1", ["alice"]],
  ["s2", ["bob"]],
]);

test("a cluster runs as long as one process of its file is there", () => {
  const directory = mkdtempSync(join(tmpdir(), "synod-cluster-file-"));
  const file = join(directory, "cluster.json");
  const write = (postgresPid: number): void => {
    const [coordinators, participants] = [[{ pid: 2 ** 30 }], [{ pid: 2 ** 30, postgresPid }]];
    writeFileSync(file, JSON.stringify({ coordinators, participants }));
  };
  expect(runningProcess(file)).toBeUndefined();
  write(2 ** 30);
  expect(runningProcess(file)).toBeUndefined();
  write(process.pid);
  expect(runningProcess(file)).toBe(process.pid);
  rmSync(directory, { recursive: true });
});

test("with a base port everybody has a fixed place", async () => {
  const topology = await planTopology({
    clusterId: "local",
    coordinators: 3,
    shards: 2,
    basePort: 7000,
  });
  const [, second] = topology.coordinators;
  expect(coordinatorEnvironment(topology, second!, "/data")).toMatchObject({
    SYNOD_NODE_ID: "2",
    SYNOD_HTTP_LISTEN: "127.0.0.1:7002",
    SYNOD_PEER_LISTEN: "127.0.0.1:7102",
    SYNOD_PEERS: "1=127.0.0.1:7101,2=127.0.0.1:7102,3=127.0.0.1:7103",
    SYNOD_COORDINATORS: "1=http://127.0.0.1:7001,2=http://127.0.0.1:7002,3=http://127.0.0.1:7003",
    SYNOD_PARTICIPANTS: "s1=127.0.0.1:7201,s2=127.0.0.1:7202",
  });
  expect(topology.participants.map(({ postgresPort }) => postgresPort)).toEqual([7301, 7302]);
});

test("with a base port that is not free nothing is started, and the port is named", async () => {
  const directory = mkdtempSync(join(tmpdir(), "synod-taken-port-"));
  const [port = 0] = await freePorts(1);
  const server = createServer();
  await once(server.listen(port, "127.0.0.1"), "listening");
  const start = startLocalCluster({ directory, basePort: port - 1 });
  await expect(start).rejects.toThrow(new RegExp(`${port}.* in use on 127.0.0.1: choose another`));
  expect(readdirSync(directory)).toEqual([]);
  await new Promise((resolve) => server.close(resolve));
  rmSync(directory, { recursive: true });
});

test("without a base port nobody shares a port", async () => {
  const topology = await planTopology({ clusterId: "local", coordinators: 5, shards: 4 });
  const ports = [
    ...topology.coordinators.flatMap(({ httpPort, peerPort }) => [httpPort, peerPort]),
    ...topology.participants.map(({ port }) => port),
  ];
  expect(new Set(ports).size).toBe(14);
});

test("free ports can be bound, and lie below those of outgoing connections", async () => {
  for (const port of await freePorts(5)) {
    const server = createServer();
    await once(server.listen(port, "127.0.0.1"), "listening");
    expect((server.address() as AddressInfo).port).toBe(port);
    expect(port).toBeLessThan(32_768);
    await new Promise((resolve) => server.close(resolve));
  }
});

test("the longest pause is between two commits, or from the last commit to the end", () => {
  const tally = new Tally(1_000);
  const commit = (atMs: number): void => {
    tally.record(randomTransfer(ACCOUNTS), { kind: "committed" }, atMs - 5, atMs);
  };
  commit(1_950);
  commit(2_750);
  commit(2_850);
  expect(tally.longestPause).toEqual({ ms: 800, atSeconds: 0.95 });
  tally.record(randomTransfer(ACCOUNTS), { kind: "aborted", code: "lock-timeout" }, 2_900, 3_800);
  tally.notePause(3_950);
  expect(tally.longestPause).toEqual({ ms: 1_100, atSeconds: 1.85 });
});

test("a run without any commit is one long pause", () => {
  const tally = new Tally(1_000);
  tally.notePause(6_000);
  expect(tally.longestPause).toEqual({ ms: 5_000, atSeconds: 0 });
});

test("the tally counts by outcome, and measures committed transfers only", () => {
  const tally = new Tally(0);
  tally.record(randomTransfer(ACCOUNTS), { kind: "committed" }, 0, 10);
  tally.record(randomTransfer(ACCOUNTS), { kind: "aborted", code: "lock-timeout" }, 0, 500);
  tally.record(randomTransfer(ACCOUNTS), { kind: "unresolved", reason: "-" }, 0, 900);
  expect(tally).toMatchObject({ committed: 1, aborted: 1, unresolved: 1 });
  expect(tally.abortedByCode()).toEqual({ "lock-timeout": 1 });
  expect(tally.latency()?.p99Ms).toBeCloseTo(10, 1);
  expect(tally.takeInterval().commits).toBe(1);
  expect(tally.takeInterval()).toEqual({ commits: 0, latency: undefined });
});

test("the tail of a log leaves out what earlier runs wrote", () => {
  const directory = mkdtempSync(join(tmpdir(), "synod-log-"));
  const file = join(directory, "process.log");
  expect(logTail(file)).toBe("(no log was written)");
  writeFileSync(file, "before\n");
  expect(logTail(file, 7)).toBe("(the log is empty)");
  writeFileSync(file, `before\n${Array.from({ length: 30 }, (_, n) => `line ${n}`).join("\n")}\n`);
  expect(logTail(file, 7).split("\n")).toHaveLength(20);
  expect(logTail(file, 7)).toMatch(/^line 10\n[^]*line 29$/);
  rmSync(directory, { recursive: true });
});

test("options take whole numbers within their bounds only", () => {
  const parse = wholeNumber(2, 90);
  expect([parse("2"), parse("90")]).toEqual([2, 90]);
  for (const wrong of ["1", "91", "2.5", "-3", "", "two", "1e1"]) {
    expect(() => parse(wrong)).toThrow(/whole number from 2 to 90/);
  }
});
