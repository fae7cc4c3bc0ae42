/**
 * A real Postgres server for a test file: started by the first `createTestDatabase`, shared by all tests of the
 * file, gone when they are done. Each call gives an empty database of its own.
 */
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createDatabase,
  type EmbeddedPostgres,
  removeDataDirectory,
  startEmbeddedPostgres,
} from "../../demo/embedded-postgres.ts";

let directory: string | undefined;
let starting: Promise<EmbeddedPostgres> | undefined;
let databases = 0;

/** The file's server, for tests that need to see it whole, or to stop or signal it. */
export function testServer(): Promise<EmbeddedPostgres> {
  directory ??= mkdtempSync(join(tmpdir(), "synod-test-postgres-"));
  chmodSync(directory, 0o711);
  starting ??= startEmbeddedPostgres({ dataDir: join(directory, "data") });
  return starting;
}

/** The url of a new database: empty, or a copy of the one with this url, to which nobody is connected. */
export async function createTestDatabase(like?: string): Promise<string> {
  const server = await testServer();
  databases += 1;
  return createDatabase(server, `test_${databases}`, like && new URL(like).pathname.slice(1));
}

afterAll(async () => {
  if (directory === undefined) return;
  const server = await starting?.catch(() => undefined);
  await server?.stop("immediate");
  removeDataDirectory(join(directory, "data"));
  rmSync(directory, { recursive: true, force: true });
});
