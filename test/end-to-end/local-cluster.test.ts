import { existsSync, mkdtempSync, chmodSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import {
  type LocalCluster,
  removeClusterDirectory,
  startLocalCluster,
} from "../../demo/local-cluster.ts";
import { eventually } from "../support/wait.ts";

const home = mkdtempSync(join(tmpdir(), "synod-cluster-"));
chmodSync(home, 0o755);
let cluster: LocalCluster;

beforeAll(async () => {
  cluster = await startLocalCluster({ shards: 2, directory: join(home, "cluster") });
}, 60_000);

afterAll(async () => {
  await cluster.stop();
  removeClusterDirectory(cluster.directory);
  rmSync(home, { recursive: true, force: true });
});

interface ClusterFile {
  readonly coordinators: readonly { id: number; url: string; pid: number; dataDir: string }[];
  readonly participants: readonly {
    shard: string;
    url: string;
    pid: number;
    postgresUrl: string;
    postgresPid: number;
  }[];
}

function readClusterFile(): ClusterFile {
  return JSON.parse(readFileSync(cluster.clusterFile, "utf8")) as ClusterFile;
}

function allPids(): readonly number[] {
  const { coordinators, participants } = readClusterFile();
  return [
    ...coordinators.map(({ pid }) => pid),
    ...participants.flatMap(({ pid, postgresPid }) => [pid, postgresPid]),
  ];
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

test("cluster.json names every process, and each is a process of its own", () => {
  const { coordinators, participants } = readClusterFile();
  expect(coordinators.map(({ id }) => id)).toEqual([1, 2, 3]);
  expect(participants.map(({ shard }) => shard)).toEqual(["s1", "s2"]);
  expect(new Set(allPids()).size).toBe(7);
  expect(allPids().every(isAlive)).toBe(true);
  for (const { dataDir } of coordinators) expect(existsSync(dataDir)).toBe(true);
});

test("a killed leader is replaced, and can be started again", async () => {
  await eventually("there is a leader", async () => (await cluster.leader()) !== undefined);
  const leader = (await cluster.leader())!;
  const { pid } = leader;
  await cluster.kill(leader);
  expect(isAlive(pid)).toBe(false);
  await eventually("another node leads", async () => {
    const next = await cluster.leader();
    return next !== undefined && next.id !== leader.id;
  });
  await cluster.restart(leader);
  expect(leader.pid).not.toBe(pid);
  expect(readClusterFile().coordinators.map((node) => node.pid)).toContain(leader.pid);
});

test("a participant and its Postgres server can be killed and started again", async () => {
  const [participant] = cluster.participants;
  const { pid, postgresPid, postgresUrl } = participant!;
  await cluster.kill(participant!);
  await cluster.kill(participant!.postgres);
  expect([isAlive(pid), isAlive(postgresPid)]).toEqual([false, false]);
  await cluster.restart(participant!.postgres);
  await cluster.restart(participant!);
  const client = new pg.Client({ connectionString: postgresUrl });
  await client.connect();
  expect((await client.query("select current_database() as name")).rows).toEqual([
    { name: "synod" },
  ]);
  await client.end();
  expect(participant!.pid).not.toBe(pid);
  expect(participant!.postgresPid).not.toBe(postgresPid);
});

test("a cluster that cannot start shows the log of what failed, and leaves no process", async () => {
  const directory = join(home, "failing");
  const start = startLocalCluster({
    shards: 1,
    coordinators: 1,
    directory,
    env: { SYNOD_LOG_LEVEL: "deafening" },
  });
  await expect(start).rejects.toThrow(/(coordinator|participant).*ended[^]*SYNOD_LOG_LEVEL/);
  expect(existsSync(join(directory, "s1", "postgres", "postmaster.pid"))).toBe(false);
  expect(existsSync(join(directory, "cluster.json"))).toBe(false);
  removeClusterDirectory(directory);
});

test("a stopped cluster leaves no process, and goes on with its data when started again", async () => {
  const pids = allPids();
  await cluster.stop();
  expect(pids.some(isAlive)).toBe(false);
  expect(existsSync(cluster.clusterFile)).toBe(false);
  cluster = await startLocalCluster({ shards: 2, directory: cluster.directory });
  await eventually("there is a leader", async () => (await cluster.leader()) !== undefined);
}, 60_000);
