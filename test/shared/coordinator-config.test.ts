import { readCoordinatorConfig } from "../../coordinator/config.ts";
import { ConfigError, withSecretFiles } from "../../shared/runtime/config-reading.ts";
import { loadSqlParser } from "../../shared/runtime/sql-statement.ts";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const GOOD = {
  SYNOD_CLUSTER_ID: "local",
  SYNOD_NODE_ID: "2",
  SYNOD_DATA_DIR: "/data",
  SYNOD_HTTP_LISTEN: "127.0.0.1:8002",
  SYNOD_PEER_LISTEN: "[::1]:9002",
  SYNOD_PEERS: "3=c:9003, 1=a:9001,2=b:9002",
  SYNOD_COORDINATORS: "1=http://a:8001,2=http://b:8002/,3=https://c:8003",
  SYNOD_PARTICIPANTS: "s1=p:7001,s2=[::1]:7002",
};

function problemsOf(change: Record<string, string | undefined>): readonly string[] {
  try {
    readCoordinatorConfig({ ...GOOD, ...change });
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
}

test("reads a whole configuration, with defaults", () => {
  const config = readCoordinatorConfig({ ...GOOD, SYNOD_LOG_LEVEL: "" });
  expect(config).toMatchObject({
    ...{ clusterId: "local", nodeId: 2, dataDir: "/data", members: [1, 2, 3], logLevel: "info" },
    ...{ heartbeatIntervalMs: 75, electionTimeoutMs: 600, leaderWaitMs: 3000, warnings: [] },
    ...{ drainTimeoutMs: 10_000, maxInFlight: 1024, maxOpenPerClient: 32 },
    peerListen: { host: "::1", port: 9002 },
  });
  expect([...config.coordinators.values()]).toEqual([
    "http://a:8001",
    "http://b:8002",
    "https://c:8003",
  ]);
  expect([...config.participants]).toEqual([
    ["s1", { host: "p", port: 7001 }],
    ["s2", { host: "::1", port: 7002 }],
  ]);
  expect(Object.isFrozen(config)).toBe(true);
});

test.each([
  ["SYNOD_CLUSTER_ID", "Not_Good", "must be 1 to 40 of a-z, 0-9 and -"],
  ["SYNOD_CLUSTER_ID", "", "is not set"],
  ["SYNOD_NODE_ID", "0", 'must be a whole number from 1 to 1023, but is "0"'],
  ["SYNOD_NODE_ID", "1e1", 'must be a whole number from 1 to 1023, but is "1e1"'],
  ["SYNOD_DATA_DIR", undefined, "is not set"],
  ["SYNOD_MAX_OPEN_PER_CLIENT", "65", 'must be a whole number from 1 to 64, but is "65"'],
  ["SYNOD_HTTP_LISTEN", "8001", 'must be host:port, but is "8001"'],
  ["SYNOD_PEER_LISTEN", "a:70000", 'must be host:port, but is "a:70000"'],
  ["SYNOD_PEERS", "1=a", 'must look like "1=host:port,2=host:port", but holds "1=a"'],
  ["SYNOD_PEERS", "1=a:1,1=b:2", "names 1 more than once"],
  ["SYNOD_PEERS", "1=a:1,3=c:3", "does not name this node, which SYNOD_NODE_ID says is 2"],
  [
    "SYNOD_COORDINATORS",
    "1=http://a:1,2=http://b:2",
    "must name the same nodes as SYNOD_PEERS; they differ in 3",
  ],
  [
    "SYNOD_COORDINATORS",
    "1=http://a:1/path",
    'must look like "1=http://host:port,2=http://host:port", but holds "1=http://a:1/path"',
  ],
  [
    "SYNOD_COORDINATORS",
    "1=ftp://a:1",
    'must look like "1=http://host:port,2=http://host:port", but holds "1=ftp://a:1"',
  ],
  [
    "SYNOD_PARTICIPANTS",
    "s 1=a:1",
    'must look like "s1=host:port,s2=host:port", but holds "s 1=a:1"',
  ],
  ["SYNOD_LOG_LEVEL", "loud", 'must be one of debug, info, warn, error, silent, but is "loud"'],
  [
    "SYNOD_ELECTION_TIMEOUT_MS",
    "299",
    "must be at least 4 times SYNOD_HEARTBEAT_INTERVAL_MS, which is 300, but is 299",
  ],
])("refuses %s = %s in a sentence", (name, value, sentence) => {
  expect(problemsOf({ [name]: value })).toContain(`${name} ${sentence}`);
});

test("tells all that is wrong at once", () => {
  expect(problemsOf({ SYNOD_NODE_ID: "x", SYNOD_DATA_DIR: "", SYNOD_MAX_IN_FLIGHT: "-1" })).toEqual(
    [
      expect.stringMatching(/^SYNOD_NODE_ID /),
      expect.stringMatching(/^SYNOD_DATA_DIR /),
      expect.stringMatching(/^SYNOD_MAX_IN_FLIGHT /),
    ],
  );
});

test("warns about an even group and about settings of other programs", () => {
  const config = readCoordinatorConfig({
    ...GOOD,
    SYNOD_PEERS: "1=a:1,2=b:2",
    SYNOD_COORDINATORS: "1=http://a:1,2=http://b:2",
    SYNOD_MAX_BRANCHES: "5",
  });
  expect(config.warnings).toEqual([
    "SYNOD_MAX_BRANCHES is set, but a coordinator does not read it",
    "SYNOD_PEERS names 2 nodes: an even group survives no more failures than one of 1",
  ]);
});

test("a misspelt setting is refused beside what else is wrong, and the nearest name is told", () => {
  const change = { SYNOD_CLIENT_FILE: "/clients.json", SYNOD_HEARTBEAT_MS: "", SYNOD_NODE_ID: "0" };
  expect(problemsOf(change)).toEqual([
    "SYNOD_CLIENT_FILE is no setting of Synod; the nearest one is SYNOD_CLIENTS_FILE",
    expect.stringMatching(/^SYNOD_HEARTBEAT_MS is no setting of Synod; the nearest one is SYNOD_/),
    expect.stringMatching(/^SYNOD_NODE_ID /),
  ]);
});

test("what Kubernetes says of a service named synod is no setting", () => {
  const of = { SYNOD_SERVICE_HOST: "10.0.0.1", SYNOD_SERVICE_PORT_HTTP: "80" };
  const address = "tcp://10.0.0.1:80";
  const more = {
    SYNOD_API_PORT: address,
    SYNOD_API_PORT_80_TCP: address,
    SYNOD_PORT_80_TCP_ADDR: "",
  };
  expect(problemsOf({ ...of, ...more })).toEqual([]);
});

test("reads secrets from files, and refuses what is ambiguous or missing", () => {
  const directory = mkdtempSync(join(tmpdir(), "config-"));
  try {
    const file = join(directory, "url");
    writeFileSync(file, "postgres://secret\n");
    expect(withSecretFiles({ A_FILE: file, B: "b" }, ["A", "B"])).toMatchObject({
      ...{ A: "postgres://secret", B: "b" },
    });
    expect(() => withSecretFiles({ A_FILE: file, A: "a" }, ["A"])).toThrow(
      "A and A_FILE are both set",
    );
    expect(() => withSecretFiles({ A_FILE: join(directory, "no") }, ["A"])).toThrow(
      "A_FILE cannot be read",
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
});

const OPEN = { SYNOD_HTTP_LISTEN: "0.0.0.0:8002" };
const SECRET = "a secret of this very cluster, 123";

test("beyond loopback nothing starts without clients and a secret, unless the operator insists", () => {
  expect(problemsOf(OPEN)).toEqual([
    expect.stringMatching(
      /^SYNOD_HTTP_LISTEN is 0\.0\.0\.0:8002, which others can reach/,
    ) as string,
    expect.stringMatching(/^SYNOD_CLUSTER_SECRET is not set/) as string,
  ]);
  expect(problemsOf({ SYNOD_PEER_LISTEN: "10.0.0.1:9002" })).toHaveLength(1);
  expect(problemsOf({ SYNOD_PEER_LISTEN: "10.0.0.1:9002", SYNOD_CLUSTER_SECRET: SECRET })).toEqual(
    [],
  );
  expect(problemsOf({ ...OPEN, SYNOD_CLUSTER_SECRET: SECRET })).toHaveLength(1);
  expect(problemsOf({ ...OPEN, SYNOD_INSECURE: "1" })).toEqual([]);
  expect(problemsOf({ ...OPEN, SYNOD_INSECURE: "yes" })).toEqual(["SYNOD_INSECURE must be 1 or 0"]);
});

test("a cluster secret that is too short, or clients that cannot be read, are complaints", () => {
  expect(problemsOf({ SYNOD_CLUSTER_SECRET: "short" })).toEqual([
    "SYNOD_CLUSTER_SECRET must have at least 32 characters",
  ]);
  expect(problemsOf({ SYNOD_CLIENTS_FILE: "/nowhere/clients.json" })).toEqual([
    expect.stringMatching(
      /^SYNOD_CLIENTS_FILE names \/nowhere\/clients\.json, which cannot be used/,
    ) as string,
  ]);
});

describe("files that say who may do what", () => {
  const directory = mkdtempSync(join(tmpdir(), "config-access-"));
  const clientsFile = join(directory, "clients.json");
  const statementsFile = join(directory, "statements.json");
  const client = { id: "a", role: "client", tokens: ["0".repeat(64)] };
  const write = (client: object, statement: object): void => {
    writeFileSync(clientsFile, JSON.stringify({ clients: [client] }));
    writeFileSync(statementsFile, JSON.stringify({ statements: { one: statement } }));
  };
  const files = { SYNOD_CLIENTS_FILE: clientsFile, SYNOD_STATEMENTS_FILE: statementsFile };
  beforeAll(loadSqlParser);
  afterAll(() => {
    rmSync(directory, { recursive: true });
  });

  test("are read, and need the secret by which nodes are told from clients", () => {
    write({ ...client, shards: ["s1"], rawSql: false }, { sql: "select $1", params: 1 });
    const config = readCoordinatorConfig({ ...GOOD, ...files, SYNOD_CLUSTER_SECRET: SECRET });
    expect(config.statements.named("one")).toEqual({ sql: "select $1", params: 1 });
    expect(config.warnings).toEqual([]);
    expect(problemsOf(files)).toEqual([
      expect.stringMatching(
        /^SYNOD_CLUSTER_SECRET is not set, but SYNOD_CLIENTS_FILE is/,
      ) as string,
    ]);
  });

  test("may name the cluster's shards and no others", () => {
    write(
      { ...client, shards: ["s1", "s3"] },
      { sql: "select 1", params: 0, shards: ["s4", "s2"] },
    );
    expect(problemsOf({ ...files, SYNOD_CLUSTER_SECRET: SECRET })).toEqual([
      "SYNOD_CLIENTS_FILE names shards that SYNOD_PARTICIPANTS does not: s3",
      "SYNOD_STATEMENTS_FILE names shards that SYNOD_PARTICIPANTS does not: s4",
    ]);
  });

  test("are complained about with the place in them", () => {
    write({ ...client, statementClasses: ["drop"] }, { sql: "drop table t", params: 0 });
    expect(problemsOf({ ...files, SYNOD_CLUSTER_SECRET: SECRET })).toEqual([
      expect.stringMatching(
        /names .*clients\.json, which cannot be used: clients\[0\]\.statementClasses\[0\]: must be one of select, /,
      ) as string,
      expect.stringMatching(
        /cannot be used: statements\.one\.sql: DROP.* is not allowed/,
      ) as string,
    ]);
  });
});
