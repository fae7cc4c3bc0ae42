/**
 * For the projects whose tests start Postgres servers: one `initdb` for all of them. Jest's workers, and the programs that
 * tests start, inherit the variable that names its result.
 */
import { chmodSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findBinaries } from "../../demo/postgres/binaries.ts";
import { prepareDataDirectory, TEMPLATE_VARIABLE } from "../../demo/postgres/data-directory.ts";
import { findServerUser } from "../../demo/postgres/server-user.ts";

export default async function makeTemplate(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "synod-postgres-template-"));
  chmodSync(directory, 0o711);
  const user = findServerUser();
  const asked = join(directory, "data");
  const { path } = await prepareDataDirectory(asked, findBinaries(user), user, "synod");
  process.env[TEMPLATE_VARIABLE] = path;
}
