import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readParticipantConfig } from "../../participant/config.ts";
import { ConfigError } from "../../shared/runtime/config-reading.ts";

const GOOD = {
  SYNOD_CLUSTER_ID: "local",
  SYNOD_SHARD_ID: "s1",
  SYNOD_LISTEN: "127.0.0.1:7001",
  SYNOD_DATABASE_URL: "postgres://synod:secret@127.0.0.1:5432/postgres",
  SYNOD_COORDINATORS: "1=http://a:8001,2=http://b:8002/",
};

function problemsOf(change: Record<string, string | undefined>): readonly string[] {
  try {
    readParticipantConfig({ ...GOOD, ...change });
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
}

test("reads a whole configuration, with defaults", () => {
  const config = readParticipantConfig(GOOD);
  expect(config).toMatchObject({
    ...{ clusterId: "local", shardId: "s1", listen: { host: "127.0.0.1", port: 7001 } },
    ...{ databaseUrl: GOOD.SYNOD_DATABASE_URL, logLevel: "info", maxBranches: 64 },
    ...{ finishingConnections: 4, connectTimeoutMs: 3_000, inquiryAfterMs: 1_000 },
    ...{ rescanIntervalMs: 5_000, receiptRetentionMs: 86_400_000, drainTimeoutMs: 3_000 },
    warnings: [],
  });
  expect([...config.coordinators.values()]).toEqual(["http://a:8001", "http://b:8002"]);
  expect(Object.isFrozen(config)).toBe(true);
});

test.each([
  ["SYNOD_CLUSTER_ID", "Not_Good", "must be 1 to 40 of a-z, 0-9 and -"],
  ["SYNOD_SHARD_ID", "s_1", "must be 1 to 63 of A-Z, a-z, 0-9, . and -"],
  ["SYNOD_SHARD_ID", undefined, "is not set"],
  ["SYNOD_LISTEN", "7001", 'must be host:port, but is "7001"'],
  [
    "SYNOD_DATABASE_URL",
    "mysql://a/b",
    "must look like postgres://user:password@host:port/database",
  ],
  ["SYNOD_DATABASE_URL", undefined, "is not set"],
  ["SYNOD_COORDINATORS", "http://a:1", 'must look like "1=http://host:port'],
  ["SYNOD_MAX_BRANCHES", "0", "must be a whole number from 1 to 10000"],
  ["SYNOD_RESCAN_INTERVAL_MS", "500", "must not be shorter than SYNOD_INQUIRY_AFTER_MS"],
  ["SYNOD_FINISHING_CONNECTIONS", "65", "is 65, but with SYNOD_MAX_BRANCHES 64"],
])("%s %s is refused in one sentence", (name, value, sentence) => {
  const problems = problemsOf({ [name]: value });
  expect(problems).toHaveLength(1);
  expect(problems[0]).toContain(`${name} ${sentence}`);
});

test("all complaints come at once", () => {
  expect(problemsOf({ SYNOD_SHARD_ID: "", SYNOD_LISTEN: "x" })).toHaveLength(2);
});

test("the database's url may come from a file, but not from both places", () => {
  const directory = mkdtempSync(join(tmpdir(), "synod-config-"));
  const file = join(directory, "url");
  writeFileSync(file, "postgres://from/file\n");
  const env = { ...GOOD, SYNOD_DATABASE_URL_FILE: file };
  expect(problemsOf({ SYNOD_DATABASE_URL_FILE: file })[0]).toContain("both set");
  expect(readParticipantConfig({ ...env, SYNOD_DATABASE_URL: undefined })).toMatchObject({
    databaseUrl: "postgres://from/file",
    warnings: [],
  });
  rmSync(directory, { recursive: true });
});

test("a setting of a coordinator is a warning, a misspelt one an error", () => {
  expect(readParticipantConfig({ ...GOOD, SYNOD_CLIENTS_FILE: "x" }).warnings).toEqual([
    "SYNOD_CLIENTS_FILE is set, but a participant does not read it",
  ]);
  expect(problemsOf({ SYNOD_MAX_BRANCH: "3" })).toEqual([
    "SYNOD_MAX_BRANCH is no setting of Synod; the nearest one is SYNOD_MAX_BRANCHES",
  ]);
});

test("beyond loopback a participant wants the cluster's secret, unless the operator insists", () => {
  const open = { SYNOD_LISTEN: "0.0.0.0:7001" };
  expect(problemsOf(open)).toEqual([
    expect.stringMatching(/^SYNOD_LISTEN is 0\.0\.0\.0:7001, which others can reach/) as string,
  ]);
  expect(
    problemsOf({ ...open, SYNOD_CLUSTER_SECRET: "a secret of this very cluster, 123" }),
  ).toEqual([]);
  expect(problemsOf({ ...open, SYNOD_INSECURE: "1" })).toEqual([]);
});
