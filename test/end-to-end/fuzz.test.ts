/** A short run of `npm run fuzz`, always the same requests. */
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { removeClusterDirectory, startLocalCluster } from "../../demo/local-cluster.ts";
import { fuzz } from "../fuzz/fuzz.ts";

const home = mkdtempSync(join(tmpdir(), "synod-fuzz-"));
chmodSync(home, 0o755);

afterAll(() => {
  rmSync(home, { recursive: true, force: true });
});

test("300 fuzzed requests find nothing that the API document does not say", async () => {
  const directory = join(home, "cluster");
  const cluster = await startLocalCluster({ shards: 2, directory });
  const report = await fuzz(cluster, { requests: 300, seed: 1 });
  await cluster.stop();
  removeClusterDirectory(directory);
  expect(report.findings).toEqual([]);
  expect(Object.values(report.byStatus).reduce((sum, count) => sum + count, 0)).toBe(300);
  for (const status of [200, 201, 400, 404, 405, 409, 415, 422]) {
    expect([status, report.byStatus[status] ?? 0]).not.toEqual([status, 0]);
  }
}, 120_000);
