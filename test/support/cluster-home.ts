/** A directory for a cluster of built programs and the files around it, and the end of all that. */
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type LocalCluster,
  type LocalClusterOptions,
  removeClusterDirectory,
  startLocalCluster,
} from "../../demo/local-cluster.ts";

export class ClusterHome {
  readonly path: string;
  readonly #clusters: LocalCluster[] = [];

  constructor(name: string) {
    this.path = mkdtempSync(join(tmpdir(), `synod-${name}-`));
    // Postgres may run as another user.
    chmodSync(this.path, 0o755);
  }

  file(name: string): string {
    return join(this.path, name);
  }

  async start(options: Omit<LocalClusterOptions, "directory">): Promise<LocalCluster> {
    const cluster = await startLocalCluster({ ...options, directory: this.file("cluster") });
    this.#clusters.push(cluster);
    return cluster;
  }

  async remove(): Promise<void> {
    for (const cluster of this.#clusters) await cluster.stop();
    removeClusterDirectory(this.file("cluster"));
    rmSync(this.path, { recursive: true, force: true });
  }
}
