/**
 * The built client and the built command line against a real cluster: coordinators that are killed, a participant that is
 * paused, real Postgres.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import {
  newIdempotencyKey,
  sql,
  Synod,
  TransactionAbortedError,
  UnavailableError,
} from "../../client/sdk.ts";
import { freePort } from "../../demo/ports.ts";
import {
  type LocalCluster,
  removeClusterDirectory,
  startLocalCluster,
} from "../../demo/local-cluster.ts";
import { runCommand, type CommandRun } from "../support/command-line.ts";
import { eventually } from "../support/wait.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const CLI = join(ROOT, "dist", "client", "cli.js");
const home = mkdtempSync(join(tmpdir(), "synod-client-"));
chmodSync(home, 0o755);
const token = join(home, "afterChosen");

let cluster: LocalCluster;
let urls: readonly string[];
let synod: Synod;

beforeAll(async () => {
  cluster = await startLocalCluster({
    shards: 2,
    directory: join(home, "cluster"),
    env: { SYNOD_ALLOW_FAILPOINTS: "yes", SYNOD_FAILPOINTS: `afterChosen=${token}` },
  });
  urls = cluster.coordinators.map(({ url }) => url);
  synod = new Synod({ endpoints: urls });
  for (const { postgresUrl, shard } of cluster.participants) {
    const client = new pg.Client(postgresUrl);
    await client.connect();
    await client.query(
      "create table accounts (id text primary key, balance bigint check (balance >= 0))",
    );
    await client.query("create table entries (id text primary key)");
    const owner = shard === "s1" ? "alice" : "bob";
    await client.query("insert into accounts values ($1, 100)", [owner]);
    await client.end();
  }
}, 60_000);

afterAll(async () => {
  synod.close();
  await cluster.stop();
  removeClusterDirectory(cluster.directory);
  rmSync(home, { recursive: true, force: true });
});

function cli(...args: readonly string[]): Promise<CommandRun> {
  return cliWith({}, ...args);
}

/** In a directory without a development cluster. */
function cliWith(
  env: Readonly<Record<string, string>>,
  ...args: readonly string[]
): Promise<CommandRun> {
  return runCommand(home, { SYNOD_ENDPOINTS: urls.join(","), ...env }, ...args);
}

const DEBIT = "s1=update accounts set balance = balance - $1 where id = $2";
const CREDIT = "s2=update accounts set balance = balance + $1 where id = $2";
const TRANSFER = [
  ...["--op", DEBIT, "--param", "10", "--param", "alice", "--expect", "1"],
  ...["--op", CREDIT, "--param", "10", "--param", "bob", "--expect", "1"],
];

test("tells its version", async () => {
  expect(await cli("--version")).toMatchObject({ code: 0, out: "0.1.0\n" });
});

// The client.

test("commits on both shards, and answers a repeated key with the first result", async () => {
  const idempotencyKey = newIdempotencyKey();
  const move = () =>
    synod.transaction(
      [
        {
          shard: "s1",
          ...sql`update accounts set balance = balance - ${5n} where id = ${"alice"}`,
        },
        {
          shard: "s2",
          ...sql`update accounts set balance = balance + ${5n} where id = ${"bob"} returning balance`,
          expect: { rowCount: 1 },
        },
      ],
      { idempotencyKey },
    );
  const first = await move();
  expect(first.results[1]).toEqual({ rowCount: 1, rows: [{ balance: "105" }] });
  expect(first.replayed).toBe(false);
  expect(await move()).toEqual({ ...first, replayed: true });
  expect(await synod.status(first.id)).toMatchObject({ state: "committed", pendingShards: [] });
});

test("digits beyond 2^53 survive in both directions", async () => {
  const digits = 2n ** 63n - 1n;
  const operation = { shard: "s1", ...sql`select ${digits}::bigint as n` };
  const { results } = await synod.transaction([operation]);
  expect(results[0]?.rows).toEqual([{ n: digits.toString() }]);
});

test("reads both shards in one call", async () => {
  const { results } = await synod.read([
    { shard: "s1", ...sql`select count(*) as accounts from accounts where id = ${"alice"}` },
    { shard: "s2", ...sql`select count(*) as accounts from accounts where id = ${"bob"}` },
  ]);
  expect(results.map(({ rows }) => rows)).toEqual([[{ accounts: "1" }], [{ accounts: "1" }]]);
  const writing = synod.read([{ shard: "s1", ...sql`delete from entries` }]);
  await expect(writing).rejects.toMatchObject({ code: "statement-not-allowed" });
});

test("tells an abort by its class and its code", async () => {
  const overdraw = { shard: "s1", ...sql`update accounts set balance = -1` };
  const error: unknown = await synod.transaction([overdraw]).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(TransactionAbortedError);
  expect(error).toMatchObject({
    ...{ code: "constraint-violation", outcome: "aborted", retryable: false, shard: "s1" },
    problem: { sqlstate: "23514" },
  });
});

test("carries every call through while the leader is killed", async () => {
  const leader = (await cluster.leader())!;
  const calls = Array.from({ length: 40 }, (_, index) => `killed-${index}`).map((id) =>
    synod.transaction(
      ["s1", "s2"].map((shard) => ({ shard, ...sql`insert into entries values (${id})` })),
      { retryAborted: true },
    ),
  );
  await cluster.kill(leader);
  const results = await Promise.all(calls);
  expect(new Set(results.map(({ outcome }) => outcome))).toEqual(new Set(["committed"]));
  const { results: counts } = await synod.transaction(
    ["s1", "s2"].map((shard) => {
      return {
        shard,
        ...sql`select count(*)::int as n from entries where id like ${"killed-%"}`,
      };
    }),
  );
  expect(counts.map(({ rows }) => rows)).toEqual([[{ n: 40 }], [{ n: 40 }]]);
  await cluster.restart(leader);
}, 60_000);

test("gives up at its deadline when nobody is there", async () => {
  const alone = new Synod({ endpoints: [`http://127.0.0.1:${await freePort()}`] });
  await expect(alone.cluster({ deadlineMs: 200 })).rejects.toBeInstanceOf(UnavailableError);
  alone.close();
});

test.each([
  ["ECMAScript modules", "module", 'import { Synod, sql } from "synod/client";'],
  ["CommonJS", "commonjs", 'const { Synod, sql } = require("synod/client");'],
])("loads from %s", async (_, type, load) => {
  const program = `${load}
      const synod = new Synod({ endpoints: ${JSON.stringify(urls)} });
      synod.transaction([{ shard: "s1", ...sql\`select \${1}::int as one\` }]).then((result) => {
        console.log(JSON.stringify(result.results[0].rows));
        synod.close();
      });`;
  const args = ["--no-warnings", `--input-type=${type}`, "--eval", program];
  const child = spawn(process.execPath, args, { cwd: ROOT });
  expect(await outputOf(child)).toBe('[{"one":1}]\n');
});

async function outputOf(child: ChildProcess): Promise<string> {
  let said = "";
  child.stdout?.on("data", (chunk: Buffer) => (said += chunk.toString()));
  child.stderr?.on("data", (chunk: Buffer) => (said += chunk.toString()));
  await once(child, "close");
  return said;
}

// The command line.

test("tells who leads, and what each coordinator says of itself", async () => {
  await eventually("there is a leader", async () => (await cluster.leader()) !== undefined);
  const leader = (await cluster.leader())!;
  const status = await cli("status");
  expect(status).toMatchObject({ code: 0, err: "" });
  expect(status.out).toMatch(new RegExp(`^leader +node ${leader.id}  ${leader.url}$`, "m"));
  expect(status.out).toMatch(/^shards +s1, s2$/m);
  const members = JSON.parse((await cli("members", "--json")).out) as { role: string }[];
  expect(members.map(({ role }) => role).sort()).toEqual(["follower", "follower", "leader"]);
  const table = (await cli("members")).out.split("\n");
  expect(table[0]).toMatch(/^NODE +ADDRESS +ROLE +FOLLOWS +APPLIED UP TO$/);
  expect(table).toHaveLength(5);
});

test("prints no colour into a pipe", async () => {
  const { out, err } = await cli("tx", "run", "--op", "s1=drop table accounts");
  expect(out + err).not.toContain("\u001b");
});

test("runs a transfer, and the same key once", async () => {
  const run = ["tx", "run", ...TRANSFER, "--key", "cli-transfer"];
  const first = await cli(...run);
  expect(first).toMatchObject({ code: 0, err: "" });
  expect(first.out).toMatch(
    /^transaction +\S+\noutcome +committed\n\noperation 1: 1 row\n\noperation 2: 1 row\n$/,
  );
  const again = await cli(...run, "--json");
  const result = JSON.parse(again.out) as { id: string; replayed: boolean };
  expect(result).toMatchObject({ outcome: "committed", replayed: true });
  const got = await cli("tx", "get", result.id);
  expect(got.out).toMatch(/^state +committed$/m);
  const watched = await cli("tx", "watch", result.id);
  expect(watched).toMatchObject({ code: 0, out: "committed\n" });
});

test("reads several shards, from options and from a file", async () => {
  const count = "select count(*) as accounts from accounts";
  const { code, out, err } = await cli("read", "--op", `s1=${count}`, "--op", `s2=${count}`);
  const table = "1 row\nACCOUNTS\n1\n";
  expect([code, err, out]).toEqual([0, "", `operation 1: ${table}\noperation 2: ${table}`]);
  const file = join(home, "read.json");
  writeFileSync(file, JSON.stringify({ operations: [{ shard: "s1", sql: count }] }));
  expect(JSON.parse((await cli("read", "-f", file, "--json")).out)).toEqual({
    results: [{ rowCount: 1, rows: [{ accounts: "1" }] }],
  });
  expect(await cli("read")).toMatchObject({ code: 2, out: "" });
});

test("prints rows as a table, and takes a request from the standard input", async () => {
  const { out } = await cli("tx", "run", "--op", "s1=select 1 as one, null as nothing, 'x' as x");
  expect(out).toMatch(/\nONE +NOTHING +X\n1 +x\n$/);
  const child = spawn(process.execPath, [CLI, "tx", "run", "-f", "-", "--json"], {
    cwd: home,
    env: { PATH: process.env["PATH"], SYNOD_ENDPOINTS: urls.join(",") },
  });
  child.stdin.end('[{"shard":"s2","sql":"select $1::int8 as n","params":["9223372036854775807"]}]');
  const result = JSON.parse(await outputOf(child)) as { results: unknown[] };
  expect(result.results).toEqual([{ rowCount: 1, rows: [{ n: "9223372036854775807" }] }]);
});

test.each([
  [2, ["bogus"], /unknown command 'bogus'/],
  [2, ["tx", "list", "--limit", "0"], /whole number from 1 to 200/],
  [2, ["tx", "run"], /give either --op and --statement, or -f[^]*next: .*synod tx run --help/],
  [2, ["tx", "run", "--param", "1"], /belongs after the --op/],
  [2, ["tx", "run", "--op", "s1"], /must look like "s1=select 1"/],
  [2, ["tx", "run", "-f", "no-such-file"], /no-such-file cannot be read \(ENOENT\)[^]*next: /],
  [2, ["tx", "run", "--op", "s1=select 1", "--key", "k", "--retry-aborted"], /makes new keys/],
  [1, ["tx", "run", "--op", "s9=select 1"], /unknown-shard[^]*next: .*synod shards list/],
  [1, ["tx", "get", "nonsense"], /not-found/],
  [
    3,
    ["tx", "run", "--op", "s1=update accounts set balance = -1"],
    /constraint-violation[^]*next: /,
  ],
  [5, ["status", "--endpoints", "http://127.0.0.1:1", "--deadline", "100"], /cannot be reached/],
])("ends with code %d for %j", async (code, args, words) => {
  const run = await cli(...args);
  expect(run.code).toBe(code);
  expect(run.out).toBe("");
  expect(run.err).toMatch(words);
});

test("tells errors to programs as JSON", async () => {
  const { code, err } = await cli(
    "tx",
    "run",
    "--op",
    "s1=update accounts set balance = -1",
    "--json",
  );
  expect(code).toBe(3);
  expect(JSON.parse(err)).toMatchObject({
    error: { code: "constraint-violation", outcome: "aborted", retryable: false, exitCode: 3 },
  });
});

test("says what to do where no coordinator is given, and where the token file is missing", async () => {
  const none = await cliWith({ SYNOD_ENDPOINTS: "" }, "status");
  expect(none).toMatchObject({ code: 2, out: "" });
  expect(none.err).toMatch(/next: /);
  const noToken = await cliWith({ SYNOD_TOKEN_FILE: "/no/such/token" }, "status");
  expect(noToken.code).toBe(2);
  expect(noToken.err).toMatch(/token file .*ENOENT/);
});

test("finds the development cluster of its directory by itself", async () => {
  const directory = join(home, ".synod");
  mkdirSync(directory);
  copyFileSync(cluster.clusterFile, join(directory, "cluster.json"));
  const { code, out } = await cliWith({ SYNOD_ENDPOINTS: "" }, "shards", "list");
  rmSync(directory, { recursive: true });
  expect([code, out]).toEqual([0, "SHARD  REACHED\ns1     yes\ns2     yes\n"]);
});

test("Ctrl-C during an unclear transaction ends with code 4, and names the key", async () => {
  const [first] = cluster.participants;
  const blocker = new pg.Client(first!.postgresUrl);
  await blocker.connect();
  await blocker.query("begin");
  await blocker.query("select from accounts for update");
  const args = [CLI, "tx", "run", ...TRANSFER, "--key", "interrupted", "--timeout", "20000"];
  const env = { PATH: process.env["PATH"], SYNOD_ENDPOINTS: urls.join(",") };
  const child = spawn(process.execPath, args, { cwd: home, env });
  const said = outputOf(child);
  const exit = once(child, "exit");
  await eventually("the transaction runs", async () => {
    return (await synod.list({ state: "active" })).transactions.length > 0;
  });
  child.kill("SIGINT");
  expect(await exit).toEqual([4, null]);
  expect(await said).toMatch(/the outcome is not known[^]*next: .*--key interrupted/);
  await blocker.end();
  await eventually("the transaction has ended", async () => {
    return (await synod.list()).transactions.length === 0;
  });
});

test("lists what is decided and not confirmed, with the shard that is behind", async () => {
  const leader = (await cluster.leader())!;
  writeFileSync(token, "");
  const [, behind] = cluster.participants;
  const call = synod
    .transaction(
      ["s1", "s2"].map((shard) => ({ shard, ...sql`insert into entries values ('in doubt')` })),
    )
    .then(
      ({ outcome }) => outcome,
      (error: unknown) => error,
    );
  await eventually("the leader died when it had decided", () => !leader.isRunning());
  await cluster.kill(behind!, "SIGSTOP");
  await eventually("it is listed", async () => {
    return (await synod.list({ state: "committed" })).transactions.length > 0;
  });
  // What the dead leader had delivered, but not yet logged as complete, its successor delivers once more.
  expect((await cli("in-doubt", "list")).out).toMatch(
    /^TRANSACTION +STATE +SHARDS +PENDING +DECIDED\n(?:\S+ +committed +s1,s2 +s2 +20\S+Z\n)+$/,
  );
  expect((await cli("shards", "check")).code).toBe(1);
  await cluster.kill(behind!, "SIGCONT");
  expect(await call).toBe("committed");
  await eventually("nothing is in doubt", async () => {
    return (await synod.list()).transactions.length === 0;
  });
  expect(await cli("in-doubt", "list")).toEqual({ code: 0, out: "", err: "none\n" });
  await cluster.restart(leader);
  await eventually("every shard is reached", async () => {
    const views = await Promise.all(urls.map((endpoint) => synod.cluster({ endpoint })));
    return views.every(({ shards }) => shards.every(({ reachable }) => reachable));
  });
  expect((await cli("shards", "check")).code).toBe(0);
}, 60_000);

test("completes its own commands in bash", async () => {
  const { out: script } = await cli("completion", "bash");
  const complete = (...words: readonly string[]): Promise<string> => {
    const program = `${script}\nCOMP_WORDS=(synod ${words.map((word) => `'${word}'`).join(" ")})
        COMP_CWORD=${words.length}; _synod; echo "\${COMPREPLY[*]}"`;
    return outputOf(spawn("bash", ["-c", program]));
  };
  expect(await complete("in")).toBe("in-doubt\n");
  expect((await complete("tx", "")).split(/\s/)).toEqual(
    expect.arrayContaining(["run", "get", "list", "watch", "begin", "exec", "commit", "rollback"]),
  );
  expect(await complete("tx", "run", "--retry")).toBe("--retry-aborted\n");
  expect(await complete("--json", "tx", "l")).toBe("list\n");
  for (const shell of ["zsh", "fish"]) {
    expect((await cli("completion", shell)).out).toMatch(/in-doubt/);
  }
  expect((await cli("completion", "tcsh")).code).toBe(2);
});
